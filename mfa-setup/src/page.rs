//! Backup codes as a page to print.

use std::fmt::Write;

use mfa_protocol::Secret;
use mfa_protocol::escape::escape;
use zeroize::Zeroizing;

use crate::text::{numbered, roomy};
use crate::time;

/// The page. `now` is in seconds since the epoch.
pub fn backup_codes(user: &str, host: &str, now: u64, codes: &[Secret]) -> Zeroizing<String> {
    let mut page = roomy();
    // Writing to a String does not fail.
    let _ = write!(
        page,
        "Backup codes of {} on {}\n\
         Made {} UTC\n\
         \n\
         Each code is good for one login, where a verification code is asked and no device is\n\
         at hand. Keep this page where nobody else finds it, and strike out what was used.\n\
         New codes end these.\n\
         \n",
        escape(user),
        escape(host),
        time::short(now),
    );
    numbered(&mut page, codes);
    page
}

/// The name of this host, as the page shows it.
pub fn host() -> String {
    nix::unistd::gethostname()
        .map_or_else(|_| "this host".to_owned(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_says_whose_where_when_and_numbers_the_codes() {
        let codes: Vec<Secret> = (1..=10).map(|n| Secret::from(format!("aaaa-{n:04}"))).collect();
        let page = backup_codes("al\x1bice", "host.example", 1_795_314_688, &codes);
        assert!(page.starts_with(
            "Backup codes of al\\u{1b}ice on host.example\nMade 2026-11-22 02:31 UTC\n"
        ));
        assert!(page.contains("\n   1  aaaa-0001\n"));
        assert!(page.ends_with("\n  10  aaaa-0010\n"));
    }
}
