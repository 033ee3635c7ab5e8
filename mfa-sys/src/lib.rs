//! The one small room for system calls: what the privileged programs need of the kernel and no
//! well-kept crate offers as a safe function, and what all of them do with it first ([`process`]).

pub mod clock;
pub mod groups;
pub mod process;

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::libc;
use nix::sys::prctl;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::sys::socket::{getsockopt, sockopt};

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
    let _ = schedule(libc::SCHED_OTHER, 0);
    // SAFETY: it takes numbers only; 0 is the calling thread.
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 0) };
}

/// Does some short work in a thread that ordinary ones do not interrupt (`SCHED_FIFO`, sched(7)), where the
/// system allows it without a limit; threads that are made meanwhile are ordinary ones.
///
/// For work that others wait for spinning: interrupted, it would wait for them, and they for it.
pub fn uninterrupted<T>(work: impl FnOnce() -> T) -> T {
    struct Ordinary;
    impl Drop for Ordinary {
        fn drop(&mut self) {
            // Who may do this by RLIMIT_RTPRIO alone, as in a container, may not take the flag back.
            let _ = schedule(libc::SCHED_OTHER, 0)
                || schedule(libc::SCHED_OTHER | libc::SCHED_RESET_ON_FORK, 0);
        }
    }
    // Who goes beyond that limit, which may be the caller's of su, is killed.
    let unlimited = matches!(getrlimit(Resource::RLIMIT_RTTIME), Ok((RLIM_INFINITY, _)));
    let allowed = unlimited && schedule(libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, 1);
    let _ordinary = allowed.then_some(Ordinary);
    work()
}

/// Gives the calling thread a scheduling policy; whether it is allowed.
fn schedule(policy: libc::c_int, priority: libc::c_int) -> bool {
    let parameters = libc::sched_param { sched_priority: priority };
    // SAFETY: 0 is the calling thread, and `parameters` outlives the call that reads it.
    unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) == 0 }
}

/// The listening socket that systemd has passed to this program (`sd_listen_fds(3)`), if it has. Whoever
/// asks first gets it.
///
/// # Errors
/// Where something else was passed, or more than one.
pub fn passed_listener() -> io::Result<Option<UnixListener>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let mut passed = sd_notify::listen_fds()?;
    let Some(number) = passed.next() else { return Ok(None) };
    if passed.next().is_some() {
        return Err(io::Error::other("more than one socket was passed"));
    }
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(None);
    }
    // SAFETY: the descriptor was open before anything of this program was, so nothing in it owns it,
    // and the flag above keeps it from being taken twice.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    if !getsockopt(&descriptor, sockopt::AcceptConn)? {
        return Err(io::Error::other("what was passed is not listened on"));
    }
    Ok(Some(UnixListener::from(descriptor)))
}

/// Makes the program that `command` starts get a SIGTERM when the thread that starts it ends, which
/// is also when its process is killed (`PR_SET_PDEATHSIG`, prctl(2)).
pub fn end_with_us(command: &mut Command) -> &mut Command {
    // SAFETY: between fork and exec only what is async-signal-safe may happen; this is one system call,
    // and an error in it allocates nothing.
    unsafe { command.pre_exec(|| Ok(prctl::set_pdeathsig(Signal::SIGTERM)?)) }
}

/// Has malloc take large blocks from the system and give them back at once, and share its arenas
/// between threads (mallopt(3)).
///
/// By itself glibc raises the size from which it does so up to that of the largest block that was
/// freed, here the 19 MiB of Argon2, and then keeps such a block for each of many arenas.
pub fn settle_malloc() {
    #[cfg(target_env = "gnu")]
    {
        let large = 1024 * 1024;
        for (parameter, value) in [(libc::M_MMAP_THRESHOLD, large), (libc::M_ARENA_MAX, 2)] {
            // SAFETY: it takes numbers only, and is called before there are other threads. Where it
            // fails, malloc stays as it was.
            let _ = unsafe { libc::mallopt(parameter, value) };
        }
    }
}

/// Asks for large pages beneath memory that is about to be written from end to end (`MADV_HUGEPAGE`,
/// madvise(2)). Where the system has none to give, all stays as it is.
///
/// The 19 MiB of an Argon2 are some 4,900 page faults else, and those a third of its time: 27.7 ms, and
/// 18.5 with this.
pub fn prefer_large_pages<T>(memory: &mut [MaybeUninit<T>]) {
    /// Bytes of such a page where pages are of 4 KiB; the system looks at whole ones alone.
    const LARGE: usize = 2 * 1024 * 1024;
    let bytes = size_of_val(memory);
    let start: *mut u8 = memory.as_mut_ptr().cast();
    let before = start.align_offset(LARGE);
    let within = bytes.saturating_sub(before) / LARGE * LARGE;
    if within > 0 {
        // SAFETY: `before + within` is at most `bytes`, so all of it lies in `memory`, which is borrowed
        // for the call; the advice changes nothing of what is in it.
        let _ = unsafe { libc::madvise(start.add(before).cast(), within, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> i32 {
        // SAFETY: a number only, which stands for the calling thread.
        unsafe { libc::sched_getscheduler(0) }
    }

    #[test]
    fn a_thread_is_uninterrupted_for_its_work_alone_and_those_that_it_makes_are_not() {
        let (here, there) =
            uninterrupted(|| (policy(), std::thread::spawn(policy).join().unwrap()));
        // Who is not root may not.
        let expected = if nix::unistd::geteuid().is_root() {
            libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK
        } else {
            libc::SCHED_OTHER
        };
        assert_eq!((here, there, policy()), (expected, libc::SCHED_OTHER, libc::SCHED_OTHER));
    }

    #[test]
    fn a_thread_whose_work_panics_is_an_ordinary_one_afterwards() {
        let panicked = std::panic::catch_unwind(|| uninterrupted(|| panic!("on purpose")));
        assert!(panicked.is_err());
        assert_eq!(policy(), libc::SCHED_OTHER);
    }

    #[test]
    fn a_thread_without_privileges_is_an_ordinary_one_afterwards() {
        let lose_privileges = || {
            let (same, nobody) = (-1, 65_534);
            // SAFETY: numbers only. The system call itself, unlike the library's, is about this thread alone.
            let lost = unsafe { libc::syscall(libc::SYS_setresuid, same, nobody, same) } == 0;
            (lost, policy())
        };
        let found = std::thread::spawn(move || (uninterrupted(lose_privileges), policy()));
        let ((lost, during), after) = found.join().unwrap();
        assert!(lost, "these tests run as root");
        assert_eq!(during, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK);
        assert_eq!(after & !libc::SCHED_RESET_ON_FORK, libc::SCHED_OTHER);
    }

    #[test]
    fn large_pages_are_asked_for_within_the_memory_alone() {
        let advised = |start: *const u8| {
            let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
            let mut found = None;
            let mut here = false;
            for line in maps.lines() {
                let range = line.split(' ').next().and_then(|range| range.split_once('-'));
                let edge = |edge: &str| usize::from_str_radix(edge, 16).ok();
                if let Some((Some(from), Some(to))) = range.map(|(from, to)| (edge(from), edge(to)))
                {
                    here = (from..to).contains(&start.addr());
                } else if here && let Some(flags) = line.strip_prefix("VmFlags:") {
                    found = Some(flags.split_whitespace().any(|flag| flag == "hg"));
                }
            }
            found.unwrap()
        };
        let large = 2 << 20;
        let mut memory: Vec<u8> = Vec::with_capacity(4 * large);
        let start = memory.as_ptr();
        let inner = start.align_offset(large);
        prefer_large_pages(&mut memory.spare_capacity_mut()[..inner + 2 * large - 1]);
        // Where the kernel was built without them there is nothing to ask for.
        let any = std::path::Path::new("/sys/kernel/mm/transparent_hugepage").exists();
        let at = |offset: usize| advised(start.wrapping_add(offset));
        assert_eq!((at(inner), at(inner + large - 1)), (any, any));
        assert!(!at(inner + large) && !at(inner + 2 * large));
        // Too little for one.
        prefer_large_pages::<u8>(&mut []);
    }

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
