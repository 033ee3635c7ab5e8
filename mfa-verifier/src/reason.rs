//! Why a login was decided as it was, or a code not sent: `reason=` of the log.

/// Each reason and its word, so that there is one list of them.
macro_rules! reasons {
    ($($reason:ident = $word:literal,)*) => {
        /// Why, in a word that scripts rely on. doc/guide/log.md and mfa-verifier(8) say what each means.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Reason {
            $($reason,)*
        }

        impl Reason {
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$reason,)*];

            /// What the log says.
            pub(crate) fn word(self) -> &'static str {
                match self {
                    $(Self::$reason => $word,)*
                }
            }
        }
    };
}

reasons! {
    Accepted = "accepted",
    Remembered = "remembered",
    Enrolled = "enrolled",
    ModeOff = "mode_off",
    Service = "service_not_asked",
    Trusted = "trusted",
    NotRequiredYet = "not_required_yet",
    NotEnrolled = "not_enrolled",
    ReAuthentication = "reauthentication",
    WrongCode = "wrong_code",
    AlreadyUsed = "already_used",
    UsedAhead = "used_ahead",
    Locked = "locked",
    TooManyFailures = "too_many_failures",
    TooManyMails = "too_many_mails",
    NotSent = "not_sent",
    NewAddress = "new_address",
    Misshapen = "misshapen",
    Empty = "empty",
    NotAscii = "not_ascii",
    RepeatsPassword = "repeats_password",
    TokenExpired = "token_expired",
    TokenSource = "token_source",
    TokenService = "token_service",
    BypassExpired = "bypass_expired",
    ReplacedBatch = "replaced_batch",
    DeviceDisabled = "device_disabled",
    Outside = "outside",
    Method = "method",
    EnrolmentFailed = "enrolment_failed",
    Declined = "declined",
    UnknownUser = "unknown_user",
    NoFirstFactor = "no_first_factor",
    NoAnswer = "no_answer",
    Unavailable = "unavailable",
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manual::{entries, tags, under};
    use std::collections::BTreeSet;

    const MANUAL: &str = include_str!("../../doc/man/mfa-verifier.8");
    const GUIDE: &str = include_str!("../../doc/guide/log.md");

    /// What stands as code in the first column of the table with this heading.
    fn guide(heading: &str) -> BTreeSet<String> {
        let table = GUIDE.split(&format!("\n{heading}")).nth(1).unwrap();
        let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
        let first = rows.map(|row| row.split('|').nth(1).unwrap());
        first.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
    }

    #[test]
    fn guide_and_manual_say_of_each_what_it_means_and_of_no_other() {
        let all: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.word().to_owned()).collect();
        assert_eq!(BTreeSet::from_iter(tags(under(MANUAL, ".SS Reasons"))), all);
        assert_eq!(guide("| `reason=` |"), all);
    }

    #[test]
    fn the_manual_has_the_errors_of_the_guide() {
        let manual = entries(under(MANUAL, ".SS Errors"));
        let manual = manual.into_iter().map(|(error, _)| error.replace("...", "…"));
        assert_eq!(manual.collect::<BTreeSet<_>>(), guide("| error |"));
    }
}
