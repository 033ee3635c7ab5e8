//! The one small room for system calls: what the privileged programs need of the kernel and no
//! well-kept crate offers as a safe function, and what all of them do with it first ([`process`]).

pub mod process;

use nix::libc;
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

/// Gives the calling thread, and those that it makes later, the default scheduling policy and
/// priority.
///
/// Both survive `execve`: whoever starts `su` at the lowest priority on a busy machine could else make
/// a verifier hold a user's lock for longer than anybody waits for it. Without `CAP_SYS_NICE` they
/// stay.
pub fn default_priority() {
    let ordinary = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 is the calling thread, and `ordinary` outlives the call that reads it.
    let _ = unsafe { libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const ordinary) };
    // SAFETY: it takes numbers only; 0 is the calling thread.
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_thread_becomes_an_ordinary_one() {
        // SAFETY: numbers only; each concerns the calling thread alone, and `idle` outlives its call.
        unsafe {
            let idle = libc::sched_param { sched_priority: 0 };
            assert_eq!(libc::setpriority(libc::PRIO_PROCESS, 0, 19), 0);
            assert_eq!(libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const idle), 0);
        }
        default_priority();
        // SAFETY: numbers only.
        let found =
            unsafe { (libc::sched_getscheduler(0), libc::getpriority(libc::PRIO_PROCESS, 0)) };
        assert_eq!(found, (libc::SCHED_OTHER, 0));
    }
}
