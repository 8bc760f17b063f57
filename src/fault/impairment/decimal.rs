use core::fmt;
use core::str::FromStr;

/// A number as people write it, exactly: `digits` / 10^`decimals`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::fault) struct Decimal {
    pub(in crate::fault) digits: u128,
    pub(in crate::fault) decimals: u32,
}

/// Not digits with at most one point among them, or more of them than any quantity of ours has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::fault) struct NotADecimal;

/// 10¹⁹ steps per unit are finer than a probability's 2⁻⁶³, and a nanosecond's 10⁻⁹.
pub(in crate::fault) const MOST_DECIMALS: u32 = 19;
const MOST_DIGITS: usize = 20;

impl Decimal {
    /// In whole units of 1/`scale`; `None` if it is no whole number of them, or past 64 bits.
    pub(in crate::fault) fn times(self, scale: u64) -> Option<u64> {
        let scaled = self.digits.checked_mul(scale.into())?;
        let unit = 10_u128.pow(self.decimals);
        if scaled % unit != 0 {
            return None;
        }
        u64::try_from(scaled / unit).ok()
    }

    /// As `count` whole units of 1/10^`decimals`, without the zeros behind the last digit that counts.
    pub(in crate::fault) fn trimmed(count: u64, decimals: u32) -> Self {
        let mut number = Self { digits: count.into(), decimals };
        while number.decimals > 0 && number.digits % 10 == 0 {
            number = Self { digits: number.digits / 10, decimals: number.decimals - 1 };
        }
        number
    }
}

impl FromStr for Decimal {
    type Err = NotADecimal;

    fn from_str(text: &str) -> Result<Self, NotADecimal> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let dangling = whole.is_empty() || text.ends_with('.');
        if dangling || !all_digits(whole) || !all_digits(fraction) || whole.len() > MOST_DIGITS {
            return Err(NotADecimal);
        }
        let fraction = fraction.trim_end_matches('0');
        let decimals = u32::try_from(fraction.len()).ok().filter(|&it| it <= MOST_DECIMALS).ok_or(NotADecimal)?;
        // 39 digits: always below 2¹²⁸ ≈ 3.4·10³⁸, except for the largest whole parts.
        let digits = whole
            .bytes()
            .chain(fraction.bytes())
            .try_fold(0_u128, |digits, byte| digits.checked_mul(10)?.checked_add(u128::from(byte - b'0')));
        Ok(Self { digits: digits.ok_or(NotADecimal)?, decimals })
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = 10_u128.pow(self.decimals);
        write!(f, "{}", self.digits / unit)?;
        match self.decimals {
            0 => Ok(()),
            decimals => write!(f, ".{:0>1$}", self.digits % unit, decimals as usize),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        for text in ["0", "5", "0.5", "100.00000000000000001", "99999999999999999999", "0.0000000000000000001"] {
            assert_eq!(text.parse::<Decimal>().map(|it| it.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("007.50".parse(), Ok(Decimal { digits: 75, decimals: 1 }));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", ".", "5.", ".5", "-1", "+1", "1e3", "1.2.3", "1 ", "٣", "123456789012345678901", "nan"] {
            assert_eq!(text.parse::<Decimal>(), Err(NotADecimal), "{text}");
        }
        assert_eq!("0.00000000000000000001".parse::<Decimal>(), Err(NotADecimal));
    }

    #[test]
    fn units_are_whole_or_refused() {
        assert_eq!("1.5".parse::<Decimal>().map(|it| it.times(1000)), Ok(Some(1500)));
        assert_eq!("0.0005".parse::<Decimal>().map(|it| it.times(1000)), Ok(None));
        assert_eq!("99999999999999999999".parse::<Decimal>().map(|it| it.times(1)), Ok(None));
        assert_eq!(Decimal::trimmed(1500, 3).to_string(), "1.5");
        assert_eq!(Decimal::trimmed(0, 9).to_string(), "0");
    }
}
