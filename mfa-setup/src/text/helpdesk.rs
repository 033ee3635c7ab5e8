//! Of what root does for somebody else.

use mfa_protocol::escape::escape;
use mfa_protocol::message::{BypassStatus, MadeBypass};
use zeroize::Zeroizing;

use super::{line, roomy, shown};
use crate::time::short;

/// Of `bypass`.
pub fn bypass_made(made: &MadeBypass) -> Zeroizing<String> {
    let mut out = roomy();
    let (user, times) = (escape(&made.user), times(made.bypass.uses_left));
    line(&mut out, format_args!("{user} can give this in place of a device's code, {times},"));
    let until = short(made.bypass.expires);
    line(
        &mut out,
        format_args!("until {until} UTC. It is shown only now:\n\n  {}", shown(&made.code)),
    );
    out
}

/// One that can be used, in short.
pub fn bypass(bypass: BypassStatus) -> String {
    format!("good {} until {} UTC", times(bypass.uses_left), short(bypass.expires))
}

fn times(uses: u32) -> String {
    if uses == 1 { "once".to_owned() } else { format!("{uses} times") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bypass_code_is_shown_with_its_bounds() {
        let made = |uses_left| MadeBypass {
            user: "al\x1bice".into(),
            code: "bypass-aaaa".into(),
            bypass: BypassStatus { uses_left, expires: 60 },
        };
        assert_eq!(
            bypass_made(&made(1)).as_str(),
            "al\\u{1b}ice can give this in place of a device's code, once,\n\
             until 1970-01-01 00:01 UTC. It is shown only now:\n\n  bypass-aaaa\n"
        );
        assert!(bypass_made(&made(7)).contains("code, 7 times,\n"));
    }
}
