//! A connection to somebody who may send without end: what it may still send is counted, and with the first byte too many the
//! connection is over. The client library above it holds what it is sent, so this is the bound of its memory too.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that may still come.
#[derive(Clone, Debug)]
pub struct Allowance {
    most: usize,
    left: Arc<AtomicUsize>,
}

impl Allowance {
    pub fn new(most: usize) -> Self {
        Allowance { most, left: Arc::new(AtomicUsize::new(most)) }
    }

    /// For the next question.
    pub fn again(&self) {
        self.left.store(self.most, Relaxed);
    }

    fn used_up(&self) -> io::Error {
        io::Error::new(io::ErrorKind::FileTooLarge, format!("it sends more than {} MiB", self.most / 1024 / 1024))
    }
}

/// A stream that ends when its allowance does.
pub struct Bounded<S> {
    stream: S,
    allowance: Allowance,
}

impl<S> Bounded<S> {
    pub fn new(stream: S, allowance: Allowance) -> Self {
        Bounded { stream, allowance }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if matches!(polled, Poll::Ready(Ok(()))) {
            let (came, left) = (buf.filled().len() - before, self.allowance.left.load(Relaxed));
            let Some(left) = left.checked_sub(came) else { return Poll::Ready(Err(self.allowance.used_up())) };
            self.allowance.left.store(left, Relaxed);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn a9_the_first_byte_too_many_ends_it_and_a_new_question_has_all_again() {
        let allowance = Allowance::new(4);
        let mut stream = Bounded::new(&b"12345678901234"[..], allowance.clone());
        let mut four = [0; 4];
        stream.read_exact(&mut four).await.unwrap();
        allowance.again();
        stream.read_exact(&mut four).await.unwrap();
        assert!(stream.read_exact(&mut four).await.unwrap_err().to_string().contains("it sends more than"));
    }
}
