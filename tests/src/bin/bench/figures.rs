//! What was measured: every single value, and what is made of them.

use std::fmt::Write as _;
use std::time::Duration;

/// The values of one row in the order in which they were taken.
pub struct Series {
    pub name: String,
    pub values: Vec<u64>,
}

/// All of a run: nanoseconds, or a count where the name says so.
#[derive(Default)]
pub struct Figures(Vec<Series>);

impl Figures {
    pub fn add(&mut self, name: &str, took: Duration) {
        self.add_number(name, u64::try_from(took.as_nanos()).unwrap());
    }

    /// Counts: whoever was let in, say.
    pub fn add_number(&mut self, name: &str, value: u64) {
        match self.0.iter_mut().find(|series| series.name == name) {
            Some(series) => series.values.push(value),
            None => self.0.push(Series { name: name.to_owned(), values: vec![value] }),
        }
    }

    /// A row that was measured.
    pub fn of(&self, name: &str) -> &Series {
        self.series(name).unwrap_or_else(|| panic!("nobody measured {name}"))
    }

    pub fn series(&self, name: &str) -> Option<&Series> {
        self.0.iter().find(|series| series.name == name)
    }

    /// The median of a row that was measured, in microseconds.
    pub fn median(&self, name: &str) -> f64 {
        self.of(name).median()
    }

    /// The same, with what it may be off by.
    pub fn estimate(&self, name: &str) -> Estimate {
        self.of(name).estimate()
    }

    /// A line for each repetition, a column for each row: its name, and nanoseconds.
    pub fn csv(&self) -> String {
        let longest = self.0.iter().map(|series| series.values.len()).max().unwrap_or(0);
        let mut csv = String::from("repetition");
        for series in &self.0 {
            write!(csv, ",{}", series.name.replace(',', "")).unwrap();
        }
        csv.push('\n');
        for repetition in 0..longest {
            write!(csv, "{repetition}").unwrap();
            for series in &self.0 {
                csv.push(',');
                if let Some(value) = series.values.get(repetition) {
                    write!(csv, "{value}").unwrap();
                }
            }
            csv.push('\n');
        }
        csv
    }
}

/// A median and the limits between which it lies with a confidence of 84 %, in microseconds: where two
/// of those intervals do not touch, the medians differ with one of 95 % (Goldstein and Healy, "The
/// graphical presentation of a collection of means", 1995).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

impl Series {
    /// By ranks, whatever the values are distributed like: as many of n lie below the median as heads
    /// come of n coins, and 1.405 standard deviations of that, √n / 2 each, are 84 %.
    pub fn estimate(&self) -> Estimate {
        let mut sorted = self.values.clone();
        sorted.sort_unstable();
        let half_width = (sorted.len() * 1_974 / 4_000).isqrt() + 1;
        let rank = sorted.len().div_ceil(2).max(1) - 1;
        let last = sorted.len() - 1;
        Estimate {
            median: self.median(),
            low: micro(sorted[rank.saturating_sub(half_width)]),
            high: micro(sorted[(rank + half_width).min(last)]),
        }
    }

    /// In microseconds.
    pub fn median(&self) -> f64 {
        micro(self.quantile(50))
    }

    /// The value below which 95 of 100 lie, in microseconds.
    pub fn p95(&self) -> f64 {
        micro(self.quantile(95))
    }

    pub fn least(&self) -> u64 {
        self.values.iter().copied().min().unwrap_or(0)
    }

    pub fn most(&self) -> u64 {
        self.values.iter().copied().max().unwrap_or(0)
    }

    /// The nearest rank.
    fn quantile(&self, percent: usize) -> u64 {
        let mut sorted = self.values.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted[rank - 1]
    }
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of a login fit")]
fn micro(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_value_at_the_nearest_rank() {
        // The textbook's five values, of which the 5th, 30th, 40th, 50th and 100th percentiles are
        // 15, 20, 20, 35 and 50.
        let series = Series { name: String::new(), values: vec![35, 50, 20, 15, 40] };
        let of = |percent| series.quantile(percent);
        assert_eq!([5, 30, 40, 50, 100].map(of), [15, 20, 20, 35, 50]);
    }

    #[test]
    fn a_median_is_known_as_well_as_there_are_values() {
        // Of 100 values, ranks 50 ± 8 (50 ± 1.405 · √100 / 2, rounded up).
        let series = Series { name: String::new(), values: (1..=100).map(|n| n * 1_000).collect() };
        let shown = |of: Estimate| [of.low, of.median, of.high].map(|value| value.to_string());
        assert_eq!(shown(series.estimate()), ["42", "50", "58"]);
        let one = Series { name: String::new(), values: vec![7_000] };
        assert_eq!(shown(one.estimate()), ["7"; 3]);
    }

    #[test]
    fn every_single_value_is_in_the_csv_however_long_its_row_is() {
        let mut figures = Figures::default();
        for (name, value) in [("a", 1), ("b, c", 2), ("a", 3)] {
            figures.add_number(name, value);
        }
        assert_eq!(figures.csv(), "repetition,a,b c\n0,1,2\n1,3,\n");
    }
}
