//! Means and rates with the interval that the truth lies in with 95 % confidence.

use serde::Serialize;

/// The normal distribution's 97.5th percentile.
const Z: f64 = 1.959_963_984_540_054;

/// A number that was measured on a sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// What was measured.
    pub value: f64,
    /// Lower and upper end of the 95 % confidence interval; `None` where one value tells nothing about the others.
    pub interval: Option<(f64, f64)>,
    /// How many values it was measured on.
    pub count: usize,
}

impl Estimate {
    /// The mean of `values`, with Student's interval; `None` without values or where one is not a number.
    #[must_use]
    pub fn mean(values: &[f64]) -> Option<Self> {
        let count = values.len();
        if count == 0 || values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let mean = values.iter().sum::<f64>() / count as f64;
        let interval = (count > 1).then(|| {
            let freedom = count - 1;
            let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / freedom as f64;
            let reach = student(freedom) * (variance / count as f64).sqrt();
            (mean - reach, mean + reach)
        });
        Some(Self { value: mean, interval, count })
    }

    /// The same of values that none can leave `least..=most`: nor can their mean.
    #[must_use]
    pub fn within(mut self, least: f64, most: f64) -> Self {
        self.interval = self.interval.map(|(low, high)| (low.max(least), high.min(most)));
        self
    }

    /// The share of `successes` among `trials`, with Wilson's interval, which stays in 0..=1 and has a width also where the
    /// share is 0 or 1 (Wilson, 1927); `None` without trials. More successes than trials count as all.
    #[must_use]
    pub fn rate(successes: usize, trials: usize) -> Option<Self> {
        if trials == 0 {
            return None;
        }
        let n = trials as f64;
        let share = successes.min(trials) as f64 / n;
        let scale = 1.0 + Z * Z / n;
        let middle = (share + Z * Z / (2.0 * n)) / scale;
        let reach = Z / scale * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
        let interval = ((middle - reach).clamp(0.0, share), (middle + reach).clamp(share, 1.0));
        Some(Self { value: share, interval: Some(interval), count: trials })
    }

    /// Fewer groups than this say too little of how groups differ.
    pub const FEW_GROUPS: usize = 3;

    /// The share of successes in groups of trials, each given as successes and trials, for the truth about other such groups. Trials of
    /// one group resemble each other: the interval is Student's over the groups' own shares, and nowhere narrower than
    /// [`Self::rate`]'s of all trials, which it is alone where groups are [few](Self::FEW_GROUPS).
    #[must_use]
    pub fn rate_of_groups(groups: &[(usize, usize)]) -> Option<Self> {
        let groups: Vec<(usize, usize)> = groups.iter().copied().filter(|(_, trials)| *trials > 0).collect();
        let pooled = Self::rate(
            groups.iter().map(|(successes, trials)| successes.min(trials)).sum(),
            groups.iter().map(|(_, trials)| trials).sum(),
        )?;
        let shares: Vec<f64> =
            groups.iter().map(|(successes, trials)| *successes.min(trials) as f64 / *trials as f64).collect();
        let between = Self::mean(&shares).and_then(|mean| mean.within(0.0, 1.0).interval);
        let interval = match (pooled.interval, between) {
            (Some((low, high)), Some((least, most))) if groups.len() >= Self::FEW_GROUPS => {
                Some((low.min(least), high.max(most)))
            }
            (pooled, _) => pooled,
        };
        Some(Self { interval, ..pooled })
    }

    /// The mean of values in groups, with Student's interval over the groups' own means; over all values where groups are
    /// [few](Self::FEW_GROUPS).
    #[must_use]
    pub fn mean_of_groups(groups: &[Vec<f64>]) -> Option<Self> {
        let pooled = Self::mean(&groups.concat())?;
        let means: Vec<f64> = groups.iter().filter_map(|values| Some(Self::mean(values)?.value)).collect();
        if means.len() < Self::FEW_GROUPS {
            return Some(pooled);
        }
        Some(Self { interval: Self::mean(&means)?.interval, ..pooled })
    }
}

/// The 97.5th percentile of Student's distribution with `freedom` degrees of freedom, at least 1.
fn student(freedom: usize) -> f64 {
    // From here on the first term of the expansion in 1 / freedom is right to seven digits.
    const MANY: usize = 1000;
    if freedom > MANY {
        return Z + (Z.powi(3) + Z) / (4.0 * freedom as f64);
    }
    // The percentile is 12.71 for one degree of freedom and falls from there.
    let (mut low, mut high) = (1.0, 13.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if within(middle, freedom) < 0.95 { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// The probability of values between `-t` and `t`, by the finite series for whole degrees of freedom (Abramowitz and Stegun,
/// 26.7.3 and 26.7.4).
fn within(t: f64, freedom: usize) -> f64 {
    let angle = (t / (freedom as f64).sqrt()).atan();
    let (sine, cosine) = angle.sin_cos();
    let odd = freedom % 2;
    let mut term = if odd == 1 { cosine } else { 1.0 };
    let mut sum = 0.0;
    for k in 1..=(freedom - odd) / 2 {
        sum += term;
        let k = (2 * k + odd) as f64;
        term *= cosine * cosine * (k - 1.0) / k;
    }
    if odd == 1 { std::f64::consts::FRAC_2_PI * (angle + sine * sum) } else { sine * sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_tables() {
        let table = [
            (1, 12.706_205),
            (2, 4.302_653),
            (3, 3.182_446),
            (4, 2.776_445),
            (9, 2.262_157),
            (30, 2.042_272),
        ];
        for (freedom, expected) in table {
            assert!((student(freedom) - expected).abs() < 1e-6, "{freedom}: {}", student(freedom));
        }
        assert!((student(1000) - student(1001)).abs() < 1e-5);
    }

    #[test]
    fn a_mean_with_its_interval() {
        let estimate = Estimate::mean(&[1.0, 2.0, 3.0]).unwrap();
        // The deviation is 1, so the reach is 4.303 / sqrt(3).
        let (low, high) = estimate.interval.unwrap();
        assert_eq!((estimate.value, estimate.count), (2.0, 3));
        assert!((low - (2.0 - 2.484_138)).abs() < 1e-5 && (high - 4.484_138).abs() < 1e-5);
        assert_eq!(Estimate::mean(&[5.0]).unwrap().interval, None);
        let share = Estimate::mean(&[0.9, 1.0]).unwrap();
        let (low, high) = share.interval.unwrap();
        assert!(low < 0.95 && high > 1.0);
        assert_eq!(share.within(0.0, 1.0).interval, Some((low, 1.0)));
        assert_eq!(Estimate::mean(&[]), None);
        assert_eq!(Estimate::mean(&[1.0, f64::NAN]), None);
    }

    #[test]
    fn groups_that_differ_leave_much_open() {
        // Shares of 0.2, 0.5 and 0.8: a deviation of 0.3, so a reach of 4.303 * 0.3 / sqrt(3), beyond both ends.
        let groups = [(10, 50), (25, 50), (40, 50)];
        let estimate = Estimate::rate_of_groups(&groups).unwrap();
        assert_eq!((estimate.value, estimate.count, estimate.interval), (0.5, 150, Some((0.0, 1.0))));
        // Of two the deviation says too little.
        assert_eq!(Estimate::rate_of_groups(&groups[..2]), Estimate::rate(35, 100));
        // Groups that are alike by luck are no surer than trials that are independent.
        assert_eq!(Estimate::rate_of_groups(&[(5, 10); 4]), Estimate::rate(20, 40));
        let eight = [(40, 50), (42, 50), (44, 50), (38, 50), (40, 50), (42, 50), (44, 50), (38, 50)];
        let (low, high) = Estimate::rate_of_groups(&eight).unwrap().interval.unwrap();
        let (least, most) = Estimate::rate(328, 400).unwrap().interval.unwrap();
        assert!(low <= least && most <= high && low > 0.7, "{low} {high}");
        assert_eq!(Estimate::rate_of_groups(&[(0, 0)]), None);
    }

    #[test]
    fn means_of_groups_count_groups() {
        let groups = [vec![1.0, 1.0], vec![2.0, 2.0], vec![3.0, 3.0]];
        let estimate = Estimate::mean_of_groups(&groups).unwrap();
        assert_eq!((estimate.value, estimate.count), (2.0, 6));
        assert_eq!(estimate.interval, Estimate::mean(&[1.0, 2.0, 3.0]).unwrap().interval);
        assert_eq!(Estimate::mean_of_groups(&groups[..2]), Estimate::mean(&[1.0, 1.0, 2.0, 2.0]));
        assert_eq!(Estimate::mean_of_groups(&[]), None);
    }

    #[test]
    fn a_rate_with_its_interval() {
        // A worked example: 8 of 10 gives 0.490 to 0.943.
        let (low, high) = Estimate::rate(8, 10).unwrap().interval.unwrap();
        assert!((low - 0.490_16).abs() < 1e-4 && (high - 0.943_32).abs() < 1e-4, "{low} {high}");
        let none = Estimate::rate(0, 10).unwrap();
        let (low, high) = none.interval.unwrap();
        assert!(low == 0.0 && (high - 0.277_53).abs() < 1e-4, "{high}");
        assert_eq!(Estimate::rate(10, 10).unwrap().interval.unwrap().1, 1.0);
        assert_eq!(Estimate::rate(0, 0), None);
    }
}
