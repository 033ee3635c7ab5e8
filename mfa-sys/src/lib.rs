//! The one small room for system calls: what the verifier needs of the kernel and no well-kept
//! crate offers as a safe function. Everything else outside `pam_mfa` forbids unsafe code.

use nix::sys::signal::{SigHandler, SigSet, Signal, signal};

/// Gives every signal its default action and unblocks all of them.
///
/// An ignored or blocked signal survives `execve` (signal(7)), so a program started by a host that
/// ignores SIGCHLD or blocks SIGTERM would inherit that. SIGKILL and SIGSTOP cannot be changed;
/// SIGPIPE stays ignored, because a peer that hangs up must be an error and not a death.
pub fn default_signals() {
    for number in Signal::iterator() {
        if matches!(number, Signal::SIGKILL | Signal::SIGSTOP | Signal::SIGPIPE) {
            continue;
        }
        // SAFETY: `SIG_DFL` installs no handler, so no code of ours can run in signal context.
        // The call fails only for signals that cannot be caught, which are left out above; such a
        // failure would leave the signal as it was, which is no worse than not calling.
        let _ = unsafe { signal(number, SigHandler::SigDfl) };
    }
    // Fails only for an invalid `how`, which nix does not let through.
    let _ = SigSet::empty().thread_set_mask();
}
