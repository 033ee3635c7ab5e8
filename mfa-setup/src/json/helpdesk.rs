//! Of what root does for somebody else.

use std::borrow::Cow;

use mfa_protocol::message::{BypassStatus, MadeBypass};
use serde::Serialize;

use crate::text::shown;
use crate::time::rfc3339;

/// Of `bypass`.
#[derive(Serialize)]
pub struct MadeBypassAnswer<'a> {
    user: &'a str,
    code: Cow<'a, str>,
    uses: u32,
    expires: String,
}

impl<'a> From<&'a MadeBypass> for MadeBypassAnswer<'a> {
    fn from(made: &'a MadeBypass) -> Self {
        Self {
            user: &made.user,
            code: shown(&made.code),
            uses: made.bypass.uses_left,
            expires: rfc3339(made.bypass.expires),
        }
    }
}

/// What is known of a bypass code that can be used.
#[derive(Serialize)]
pub struct Bypass {
    uses_left: u32,
    expires: String,
}

impl From<BypassStatus> for Bypass {
    fn from(bypass: BypassStatus) -> Self {
        Self { uses_left: bypass.uses_left, expires: rfc3339(bypass.expires) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::tests::written;

    #[test]
    fn a_bypass_code_is_written_with_its_bounds() {
        let made = MadeBypass {
            user: "alice".into(),
            code: "bypass-aaaa".into(),
            bypass: BypassStatus { uses_left: 2, expires: 60 },
        };
        assert_eq!(
            written("bypass", &MadeBypassAnswer::from(&made)),
            "{\"user\":\"alice\",\"code\":\"bypass-aaaa\",\"uses\":2,\
             \"expires\":\"1970-01-01T00:01:00Z\"}\n"
        );
    }
}
