//! A panic is a refused login, never a dead host and never a line on its terminal.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe, Location};
use std::sync::Once;

use pam::constants::PamResultCode;

thread_local! {
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Lets a host's login be decided by `work`. A panic refuses it, and `log` is told where it was.
pub fn refuse<H>(
    host: &mut H,
    work: impl FnOnce(&mut H) -> PamResultCode,
    log: impl FnOnce(&H, &str),
) -> PamResultCode {
    contain(|| work(host)).unwrap_or_else(|place| {
        log(host, &format!("internal error at {place}: refused"));
        PamResultCode::PAM_AUTH_ERR
    })
}

/// Runs `work`; if it panics, says where. The message of the panic is dropped: nobody has looked
/// through it for secrets.
fn contain<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    install_hook();
    panic::catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        // Dropping it could panic once more, outside of any guard.
        std::mem::forget(payload);
        PLACE.take().unwrap_or_else(|| "an unknown place".to_owned())
    })
}

/// The default hook writes to standard error, which belongs to the host. The hook that is replaced
/// is that of the copy of std in this module; a host written in Rust has its own.
fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        panic::set_hook(Box::new(|info| PLACE.set(info.location().map(Location::to_string))));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_that_names_its_place_and_not_its_message() {
        let place = contain(|| panic!("{}", "hunter2")).unwrap_err();
        assert!(place.starts_with(file!()), "{place}");
        assert!(!place.contains("hunter2"), "{place}");
    }

    #[test]
    fn what_does_not_panic_passes_through() {
        assert_eq!(contain(|| 7), Ok(7));
        let code = refuse(&mut (), |()| PamResultCode::PAM_IGNORE, |(), _| panic!());
        assert_eq!(code, PamResultCode::PAM_IGNORE);
    }

    #[test]
    fn a_panic_in_the_middle_of_a_login_is_a_refusal_that_is_logged() {
        let mut said = Vec::new();
        let mut host = 1;
        for _ in 0..2 {
            let code = refuse(
                &mut host,
                |host| {
                    *host += 1;
                    panic!("{}", "hunter2")
                },
                |host, line| said.push(format!("{host} {line}")),
            );
            assert_eq!(code, PamResultCode::PAM_AUTH_ERR);
        }
        let [first, second] = said.as_slice() else { panic!("{said:?}") };
        assert!(first.starts_with("2 internal error at ") && second.starts_with("3 "), "{said:?}");
        assert!(first.contains(file!()) && !first.contains("hunter2"), "{first}");
    }

    #[test]
    fn a_payload_that_panics_when_dropped_stays_contained() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("again");
            }
        }
        assert!(contain(|| panic::panic_any(Bomb)).is_err());
    }
}
