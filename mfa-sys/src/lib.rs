//! The one small room for system calls: what the verifier needs of the kernel and no well-kept
//! crate offers as a safe function. Everything else outside `pam_mfa` forbids unsafe code.

use nix::sys::signal::{SigHandler, SigSet, Signal, signal};

/// Gives every signal its default action and unblocks all of them.
///
/// An ignored or blocked signal survives `execve` (signal(7)), so a program started by a host that
/// ignores SIGCHLD or blocks SIGTERM would inherit that. SIGKILL and SIGSTOP cannot be changed;
/// SIGPIPE and SIGXFSZ are ignored, because a peer that hangs up and a file that may not grow must be
/// errors and not a death.
pub fn default_signals() {
    for number in Signal::iterator() {
        let action = match number {
            Signal::SIGKILL | Signal::SIGSTOP => continue,
            Signal::SIGPIPE | Signal::SIGXFSZ => SigHandler::SigIgn,
            _ => SigHandler::SigDfl,
        };
        // SAFETY: `SIG_DFL` and `SIG_IGN` install no handler, so no code of ours can run in signal
        // context. The call fails only for signals that cannot be caught, which are left out above;
        // such a failure would leave the signal as it was, which is no worse than not calling.
        let _ = unsafe { signal(number, action) };
    }
    // Fails only for an invalid `how`, which nix does not let through.
    let _ = SigSet::empty().thread_set_mask();
}
