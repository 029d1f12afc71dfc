//! Messages of DNS: a question, an update that happens whole or not at all, and what an answer proves.

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode, UpdateMessage};
use hickory_proto::rr::rdata::tsig::TsigError;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType, TSigVerifier, TSigner};

/// A question, and the bytes that ask it.
pub struct Question {
    asked: Message,
    pub bytes: Vec<u8>,
}

impl Question {
    /// `recursive`: for a resolver, which asks on.
    pub fn new(name: &Name, kind: RecordType, recursive: bool) -> Result<Question, String> {
        let mut asked = Message::query();
        asked.metadata.recursion_desired = recursive;
        asked.add_query(Query::query(name.clone(), kind));
        let bytes = asked.to_vec().map_err(|e| e.to_string())?;
        Ok(Question { asked, bytes })
    }

    /// Its answer, if these bytes are one.
    pub fn answer(&self, bytes: &[u8]) -> Result<Message, String> {
        let answer = Message::from_vec(bytes).map_err(|e| format!("an answer that is none: {e}"))?;
        let ours = answer.id == self.asked.id && answer.queries == self.asked.queries;
        if !ours || answer.message_type != MessageType::Response || answer.op_code != OpCode::Query {
            return Err("an answer to something else".into());
        }
        if answer.truncation {
            return Err("half an answer".into());
        }
        match answer.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => Ok(answer),
            code => Err(shown(code)),
        }
    }
}

/// A code as people know it: `NXRRSET`.
pub fn shown(code: ResponseCode) -> String {
    format!("{code:?}").to_uppercase()
}

/// An update. Its conditions are looked at first, and then all of it is done or none.
pub struct Update(Message);

impl Update {
    pub fn new(zone: &Name) -> Update {
        let mut message = Message::query();
        message.metadata.op_code = OpCode::Update;
        message.metadata.recursion_desired = false;
        message.add_zone(Query::query(zone.clone(), RecordType::SOA));
        Update(message)
    }

    /// Only if exactly this stands there: nothing, where it is empty. A TTL is no part of it (RFC 2136, 2.4.2).
    pub fn only_if(mut self, name: &Name, kind: RecordType, data: &[RData]) -> Update {
        if data.is_empty() {
            self.0.add_pre_requisite(of_class(DNSClass::NONE, name, kind));
        }
        self.0.add_pre_requisites(data.iter().map(|data| Record::from_rdata(name.clone(), 0, data.clone())));
        self
    }

    /// This instead of whatever stands there.
    pub fn replace(mut self, name: &Name, kind: RecordType, ttl: u32, data: &[RData]) -> Update {
        self.0.add_update(of_class(DNSClass::ANY, name, kind));
        self.0.add_updates(data.iter().map(|data| Record::from_rdata(name.clone(), ttl, data.clone())));
        self
    }

    /// Signed at that second: the bytes, and what its answer is held against.
    pub fn signed(mut self, key: &TSigner, now: u64) -> Result<Sent, String> {
        let proof = self.0.finalize(key, now).map_err(|e| e.to_string())?.ok_or("it cannot be signed")?;
        let bytes = self.0.to_vec().map_err(|e| e.to_string())?;
        Ok(Sent { id: self.0.id, bytes, proof })
    }
}

fn of_class(class: DNSClass, name: &Name, kind: RecordType) -> Record {
    let mut record = Record::update0(name.clone(), 0, kind);
    record.dns_class = class;
    record
}

/// An update that was signed.
pub struct Sent {
    id: u16,
    pub bytes: Vec<u8>,
    proof: TSigVerifier,
}

/// What an answer to an update says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// The server's own word, signed by the key.
    Proven(ResponseCode),
    /// The server does not take the signature, so it cannot sign its answer either: nobody need have said it.
    Unsigned(TsigError),
}

impl Sent {
    /// What these bytes say, if they are an answer.
    pub fn answer(mut self, bytes: &[u8]) -> Result<Answered, String> {
        // Read as a whole first: what proves it counts on that.
        let answer = Message::from_vec(bytes).map_err(|e| format!("an answer that is none: {e}"))?;
        if answer.id != self.id || answer.message_type != MessageType::Response || answer.op_code != OpCode::Update {
            return Err("an answer to something else".into());
        }
        if answer.response_code == ResponseCode::NotAuth
            && let Some(error) = answer.signature().and_then(|signature| signature.data.error)
        {
            return Ok(Answered::Unsigned(error));
        }
        let proven = self.proof.verify(bytes);
        proven
            .map(|answer| Answered::Proven(answer.response_code))
            .map_err(|_| format!("{} without a signature that the key made", shown(answer.response_code)))
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::ResponseCode;
    use hickory_proto::rr::rdata::A;
    use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
    use hickory_proto::rr::{TSigResponseContext, TSigner};

    use super::*;

    const NOW: u64 = 1_790_000_000;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn key(secret: &[u8]) -> TSigner {
        TSigner::new(secret.to_vec(), TsigAlgorithm::HmacSha256, name("bgctl."), 15).unwrap()
    }

    fn sent() -> (Sent, Message) {
        let (zone, own) = (name("example.test."), name("bot.example.test."));
        let data = [RData::A(A::new(127, 0, 0, 1))];
        let update = Update::new(&zone).only_if(&own, RecordType::A, &data).only_if(&own, RecordType::TXT, &[]);
        let sent = update.replace(&own, RecordType::A, 60, &data).signed(&key(b"secret"), NOW).unwrap();
        let message = Message::from_vec(&sent.bytes).unwrap();
        (sent, message)
    }

    /// What a server that holds `secret` answers at that second.
    fn answered(update: &Message, secret: &[u8], code: ResponseCode, now: u64) -> Vec<u8> {
        let mut answer = Message::response(update.id, OpCode::Update);
        answer.metadata.response_code = code;
        let mac = update.signature().unwrap().data.mac.clone();
        let context = TSigResponseContext::new(update.id, now, key(secret), mac, None);
        answer.set_signature(context.sign(&answer.to_vec().unwrap()).unwrap());
        answer.to_vec().unwrap()
    }

    #[test]
    fn an_update_says_what_must_be_there_and_what_must_not() {
        let (_, message) = sent();
        let classes: Vec<_> = message.answers.iter().map(|r| (r.record_type(), r.dns_class, r.ttl)).collect();
        assert_eq!(classes, [(RecordType::A, DNSClass::IN, 0), (RecordType::TXT, DNSClass::NONE, 0)]);
        let classes: Vec<_> = message.authorities.iter().map(|r| (r.record_type(), r.dns_class, r.ttl)).collect();
        assert_eq!(classes, [(RecordType::A, DNSClass::ANY, 0), (RecordType::A, DNSClass::IN, 60)]);
    }

    #[test]
    fn only_what_the_key_signed_is_the_servers_word() {
        let of = |secret: &[u8], code, now| {
            let (sent, message) = sent();
            sent.answer(&answered(&message, secret, code, now))
        };
        assert_eq!(of(b"secret", ResponseCode::NoError, NOW), Ok(Answered::Proven(ResponseCode::NoError)));
        assert_eq!(of(b"secret", ResponseCode::NXRRSet, NOW), Ok(Answered::Proven(ResponseCode::NXRRSet)));
        assert!(of(b"another", ResponseCode::NoError, NOW).unwrap_err().contains("without a signature"));
        assert!(of(b"secret", ResponseCode::NoError, NOW + 3600).unwrap_err().contains("without a signature"));
        let (sent, message) = sent();
        let mut bare = Message::response(message.id, OpCode::Update);
        bare.metadata.response_code = ResponseCode::NoError;
        assert!(sent.answer(&bare.to_vec().unwrap()).unwrap_err().contains("without a signature"));
    }

    #[test]
    fn an_answer_is_to_what_was_asked_and_whole() {
        let question = Question::new(&name("bot.example.test."), RecordType::A, false).unwrap();
        let asked = Message::from_vec(&question.bytes).unwrap();
        let answer = |change: fn(&mut Message)| {
            let mut answer = asked.clone();
            answer.metadata.message_type = MessageType::Response;
            change(&mut answer);
            question.answer(&answer.to_vec().unwrap()).map(drop)
        };
        assert_eq!(answer(|_| ()), Ok(()));
        assert!(answer(|answer| answer.metadata.id ^= 1).is_err());
        assert!(answer(|answer| answer.queries.clear()).is_err());
        assert!(answer(|answer| answer.metadata.message_type = MessageType::Query).is_err());
        assert!(answer(|answer| answer.metadata.truncation = true).is_err());
        assert!(
            answer(|answer| answer.metadata.response_code = ResponseCode::ServFail).unwrap_err().contains("SERVFAIL")
        );
        for bytes in [&b""[..], b"\0", &[0xff; 40], &question.bytes[..20]] {
            assert!(question.answer(bytes).is_err());
        }
    }
}
