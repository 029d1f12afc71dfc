//! How likely it is that green is worse: mixture likelihood ratios that may be looked at as often as one likes. Numbers in,
//! a number out; what it must reach to fail a gate is for [`super`].

use super::counts::Counts;

/// Log likelihood ratio of "green has more than its share of the bad requests" against "each bad request falls on green
/// with green's share of all requests", mixed over Beta(2, 2). Only the four counts matter, so slow changes of load do not.
pub(super) fn worse_than_blue(green: Counts, blue: Counts) -> f64 {
    if green.requests == 0 || blue.requests == 0 || green.rate() <= blue.rate() {
        return 0.0;
    }
    let share = green.requests as f64 / (green.requests + blue.requests) as f64;
    mixture(green.bad, blue.bad, 2.0, 2.0, share)
}

/// The same of "green's true rate is over the limit". The mixture is weighted toward rates of the limit's own order.
pub(super) fn over_limit(green: Counts, limit: f64) -> f64 {
    if limit <= 0.0 {
        return f64::INFINITY;
    }
    if limit >= 1.0 || green.rate() <= limit {
        return 0.0;
    }
    mixture(green.bad, green.requests - green.bad, 1.0, (1.0 / (2.0 * limit)).max(1.0), limit)
}

/// The chance of `k` bad requests or more among `n`, when the rate is known as from `bad` bad and `good` good ones before.
pub(super) fn at_least(k: u64, n: u64, bad: f64, good: f64) -> f64 {
    let (all, mean) = (bad + good, n as f64 * bad / (bad + good));
    if k as f64 <= mean {
        return 1.0;
    }
    // So many are summed up exactly; of more the sum is long and its shape is known.
    if k > 2_000 {
        let spread = (mean * good / all * (all + n as f64) / (all + 1.0)).sqrt();
        let beyond = (k as f64 - mean) / spread;
        return (-beyond * beyond / 2.0).exp();
    }
    // The chance of none, and from each number of bad requests to the next.
    let mut chance = ln_gamma(good + n as f64) + ln_gamma(all) - ln_gamma(good) - ln_gamma(all + n as f64);
    let mut fewer = 0.0;
    for i in 0..k {
        fewer += chance.exp();
        let (i, others) = (i as f64, (n - i) as f64);
        chance += (others * (bad + i) / ((i + 1.0) * (good + others - 1.0))).ln();
    }
    (1.0 - fewer).max(0.0)
}

/// `ln ∫ p^k (1-p)^m Beta(p; a, b) dp − ln (q^k (1-q)^m)`.
fn mixture(k: u64, m: u64, a: f64, b: f64, q: f64) -> f64 {
    let (k, m) = (k as f64, m as f64);
    let beta = |x: f64, y: f64| ln_gamma(x) + ln_gamma(y) - ln_gamma(x + y);
    beta(a + k, b + m) - beta(a, b) - k * q.ln() - m * (-q).ln_1p()
}

/// Logarithm of the gamma function for `x ≥ 1`: Stirling's series, with small arguments raised first.
fn ln_gamma(mut x: f64) -> f64 {
    let mut shift = 0.0;
    while x < 10.0 {
        shift -= x.ln();
        x += 1.0;
    }
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    let series = inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square / 1680.0)));
    shift + (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series
}

/// Between which rates the true one lies, 95 times of 100: Wilson's interval, which is sound for few bad requests and for none.
pub(super) fn interval(counts: Counts) -> (f64, f64) {
    const Z: f64 = 1.96;
    let n = counts.requests.max(1) as f64;
    let rate = counts.rate();
    let middle = rate + Z * Z / (2.0 * n);
    let reach = Z * (rate * (1.0 - rate) / n + Z * Z / (4.0 * n * n)).sqrt();
    let whole = 1.0 + Z * Z / n;
    (((middle - reach) / whole).max(0.0), ((middle + reach) / whole).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: 8 of 100 is 4.1 % to 15 %, none of 100 up to 3.7 %.
    #[test]
    fn an_interval_holds_the_rate() {
        let of = |bad, requests| interval(Counts { requests, bad });
        let near = |(low, high): (f64, f64), wanted: (f64, f64)| {
            (low - wanted.0).abs() < 5e-4 && (high - wanted.1).abs() < 5e-4
        };
        assert!(
            near(of(8, 100), (0.0411, 0.1500)) && near(of(0, 100), (0.0, 0.0370)),
            "{:?} {:?}",
            of(8, 100),
            of(0, 100)
        );
        assert!(near(of(0, 0), (0.0, 0.7935)) && near(of(100, 100), (0.9630, 1.0)), "{:?}", of(100, 100));
    }

    #[test]
    fn ln_gamma_is_the_logarithm_of_the_factorial_and_chances_are_chances() {
        let mut factorial = 0.0;
        for n in 1..200u32 {
            assert!((ln_gamma(f64::from(n) + 1.0) - (factorial + f64::from(n).ln())).abs() < 1e-9, "{n}");
            factorial += f64::from(n).ln();
        }
        // One of one at even odds; three of three; nothing is more than none.
        assert!((at_least(1, 1, 1.0, 1.0) - 0.5).abs() < 1e-9);
        assert!((at_least(3, 3, 1e9, 1e9) - 0.125).abs() < 1e-4);
        assert!(at_least(0, 9, 1.0, 1.0) == 1.0 && at_least(5_000, 10_000, 1.0, 1_000.0) < 1e-9);
        assert!((ln_gamma(1.5) - 0.886_226_925_452_758_f64.ln()).abs() < 1e-9);
    }
}
