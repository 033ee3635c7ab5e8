//! The clock of the system.

use std::io;
use std::mem::MaybeUninit;

use nix::libc;

/// Whether the kernel has been told that its clock is kept right, as NTP's programs do again and again
/// (`STA_UNSYNC` of adjtimex(2)). Needs no privilege, since nothing is set.
///
/// # Errors
/// EPERM where a sandbox allows no look at the clock.
pub fn is_kept_right() -> io::Result<bool> {
    // SAFETY: all zeros is a `timex` with no mode set, which asks for the values alone.
    let mut values = unsafe { MaybeUninit::<libc::timex>::zeroed().assume_init() };
    // SAFETY: `values` lives until the call has returned, and has room for what is written.
    let state = unsafe { libc::adjtimex(&raw mut values) };
    if state == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(values.status & libc::STA_UNSYNC == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_can_be_asked_about() {
        let kept = is_kept_right().unwrap();
        let said = std::process::Command::new("adjtimex").arg("--print").output();
        // Where the program is there, it has to agree.
        if let Ok(output) = said {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let status = said.lines().find_map(|line| line.trim().strip_prefix("status: "));
            let status: i32 = status.unwrap().trim().parse().unwrap();
            assert_eq!(kept, status & libc::STA_UNSYNC == 0);
        }
    }
}
