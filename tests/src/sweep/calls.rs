//! The system calls of a verifier, and how each may fail.

use nix::errno::Errno::{
    self, EACCES, EAGAIN, ECONNABORTED, ECONNREFUSED, ECONNRESET, EDQUOT, EFBIG, EINTR, EINVAL,
    EIO, EMFILE, ENFILE, ENOBUFS, ENOLCK, ENOMEM, ENOSPC, ENOSYS, EPERM, EPIPE, EROFS,
};
use nix::libc;

use super::orders::Fault;

/// What waits for one of several descriptors.
#[cfg(target_arch = "x86_64")]
pub const EPOLL_WAIT: &[i64] = &[libc::SYS_epoll_wait, libc::SYS_epoll_pwait];
#[cfg(not(target_arch = "x86_64"))]
pub const EPOLL_WAIT: &[i64] = &[libc::SYS_epoll_pwait];

/// What is known of a function of the kernel's.
#[derive(Debug, Clone, Copy)]
pub struct Function {
    /// Its name in section 2 of the manual.
    pub name: &'static str,
    /// How it may fail on a healthy system that lacks something, or on a sick one. Left out is what
    /// only a mistake of the caller's could bring about, and what would say that something is not
    /// there which is.
    pub errors: &'static [Errno],
    /// Which of its arguments is a path.
    pub path: Option<usize>,
    /// Whether it has done what it should even where it fails.
    pub done_anyway: bool,
    /// Whether it is a matter of chance how often it is called: threads meet, or miss each other.
    pub by_chance: bool,
}

/// What a path's lookup may say.
const LOOKUP: &[Errno] = &[EACCES, EIO, ENOMEM];
/// What an opened file may say beside.
const OPEN: &[Errno] = &[EACCES, EIO, ENOMEM, EMFILE, ENFILE, ENOSPC, EDQUOT, EROFS, EINTR];
const READ: &[Errno] = &[EIO, ENOMEM, EINTR, EAGAIN];
const WRITE: &[Errno] = &[EIO, ENOSPC, EDQUOT, EFBIG, ENOMEM, EINTR, EAGAIN];
const SYNC: &[Errno] = &[EIO, ENOSPC, EDQUOT, EROFS, EINTR];
const CHANGE: &[Errno] = &[EACCES, EIO, ENOMEM, ENOSPC, EDQUOT, EROFS];
const MEMORY: &[Errno] = &[ENOMEM];
const DESCRIPTOR: &[Errno] = &[EMFILE, ENFILE, ENOMEM];
const SOCKET: &[Errno] = &[EMFILE, ENFILE, ENOMEM, ENOBUFS, EACCES];
const RECEIVE: &[Errno] = &[ECONNRESET, ENOMEM, EINTR, EAGAIN];
const SEND: &[Errno] = &[EPIPE, ECONNRESET, ENOBUFS, ENOMEM, EINTR, EAGAIN];
const NEVER: &[Errno] = &[];

/// Stands for those of the functions behind `futex` that do not wait.
pub const FUTEX_WAKE: u64 = 1 << 32 | libc::SYS_futex.cast_unsigned();

/// The function of a call, by its number and second argument.
pub fn called(number: u64, second: u64) -> u64 {
    let command = second
        & !u64::from((libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME).cast_unsigned());
    let waits =
        [libc::FUTEX_WAIT, libc::FUTEX_WAIT_BITSET].map(|wait| u64::from(wait.cast_unsigned()));
    if number == libc::SYS_futex.cast_unsigned() && !waits.contains(&command) {
        return FUTEX_WAKE;
    }
    number
}

/// The function of that number.
pub fn function(number: u64) -> Option<Function> {
    let by_chance = BY_CHANCE.contains(&number);
    if number == FUTEX_WAKE {
        let name = "futex, to wake";
        return Some(Function { name, errors: NEVER, path: None, done_anyway: false, by_chance });
    }
    let number = libc::c_long::try_from(number).ok()?;
    let (_, name, errors) = *CALLS.iter().find(|(known, ..)| *known == number)?;
    let path = match number {
        libc::SYS_openat
        | libc::SYS_newfstatat
        | libc::SYS_statx
        | libc::SYS_readlinkat
        | libc::SYS_unlinkat
        | libc::SYS_mkdirat
        | libc::SYS_fchmodat
        | libc::SYS_faccessat2
        | libc::SYS_inotify_add_watch
        | libc::SYS_renameat2 => Some(1),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_access
        | libc::SYS_readlink
        | libc::SYS_unlink
        | libc::SYS_mkdir
        | libc::SYS_rmdir
        | libc::SYS_rename
        | libc::SYS_chmod
        | libc::SYS_stat
        | libc::SYS_lstat => Some(0),
        libc::SYS_execve | libc::SYS_chdir | libc::SYS_statfs => Some(0),
        _ => None,
    };
    Some(Function { name, errors, path, done_anyway: number == libc::SYS_close, by_chance })
}

const BY_CHANCE: [u64; 4] = [
    FUTEX_WAKE,
    libc::SYS_futex.cast_unsigned(),
    libc::SYS_sched_yield.cast_unsigned(),
    libc::SYS_clock_nanosleep.cast_unsigned(),
];

/// The name of a fault's kind: `SIGKILL`, or an error's.
pub fn name_of(fault: Fault) -> String {
    let Some(error) = fault.error else { return "SIGKILL".to_owned() };
    let errors = function(fault.at.function).map_or(NEVER, |function| function.errors);
    errors.get(error).map_or("?".to_owned(), |errno| format!("{errno:?}"))
}

/// By number, as far as a verifier has use of them. One that is not here makes the sweep fail.
const CALLS: &[(libc::c_long, &str, &[Errno])] = &[
    // Files.
    (libc::SYS_openat, "openat", OPEN),
    (libc::SYS_close, "close", &[EIO, ENOSPC, EDQUOT, EINTR]),
    (libc::SYS_read, "read", READ),
    (libc::SYS_pread64, "pread64", READ),
    (libc::SYS_readv, "readv", READ),
    (libc::SYS_write, "write", WRITE),
    (libc::SYS_pwrite64, "pwrite64", WRITE),
    (libc::SYS_writev, "writev", WRITE),
    (libc::SYS_fsync, "fsync", SYNC),
    (libc::SYS_fdatasync, "fdatasync", SYNC),
    (libc::SYS_sync_file_range, "sync_file_range", SYNC),
    (libc::SYS_fallocate, "fallocate", CHANGE),
    (libc::SYS_ftruncate, "ftruncate", CHANGE),
    (libc::SYS_fstat, "fstat", LOOKUP),
    (libc::SYS_newfstatat, "newfstatat", LOOKUP),
    (libc::SYS_statx, "statx", LOOKUP),
    (libc::SYS_statfs, "statfs", LOOKUP),
    (libc::SYS_fstatfs, "fstatfs", LOOKUP),
    (libc::SYS_faccessat2, "faccessat2", LOOKUP),
    (libc::SYS_readlinkat, "readlinkat", LOOKUP),
    (libc::SYS_getdents64, "getdents64", &[EIO, ENOMEM]),
    (libc::SYS_lseek, "lseek", NEVER),
    (libc::SYS_flock, "flock", &[ENOLCK, ENOMEM, EINTR, EAGAIN]),
    (libc::SYS_fcntl, "fcntl", &[EMFILE, ENOLCK]),
    (libc::SYS_ioctl, "ioctl", &[EIO]),
    (libc::SYS_unlinkat, "unlinkat", CHANGE),
    (libc::SYS_mkdirat, "mkdirat", CHANGE),
    (libc::SYS_renameat2, "renameat2", CHANGE),
    (libc::SYS_fchmod, "fchmod", CHANGE),
    (libc::SYS_fchmodat, "fchmodat", CHANGE),
    (libc::SYS_chdir, "chdir", LOOKUP),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_access, "access", LOOKUP),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_readlink, "readlink", LOOKUP),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_stat, "stat", LOOKUP),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_lstat, "lstat", LOOKUP),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_unlink, "unlink", CHANGE),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_mkdir, "mkdir", CHANGE),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_rmdir, "rmdir", CHANGE),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_rename, "rename", CHANGE),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_chmod, "chmod", CHANGE),
    (libc::SYS_inotify_init1, "inotify_init1", DESCRIPTOR),
    (libc::SYS_inotify_add_watch, "inotify_add_watch", &[EACCES, ENOSPC, ENOMEM]),
    (libc::SYS_inotify_rm_watch, "inotify_rm_watch", NEVER),
    // Memory.
    (libc::SYS_mmap, "mmap", &[ENOMEM, EAGAIN, ENFILE]),
    (libc::SYS_munmap, "munmap", MEMORY),
    (libc::SYS_mprotect, "mprotect", MEMORY),
    (libc::SYS_mremap, "mremap", MEMORY),
    (libc::SYS_madvise, "madvise", &[ENOMEM, EAGAIN]),
    (libc::SYS_brk, "brk", MEMORY),
    (libc::SYS_mlock, "mlock", &[ENOMEM, EAGAIN, EPERM]),
    (libc::SYS_munlock, "munlock", MEMORY),
    // Processes and threads.
    (libc::SYS_execve, "execve", &[EACCES, EIO, ENOMEM, EMFILE, ENFILE, EAGAIN]),
    (libc::SYS_clone3, "clone3", &[EAGAIN, ENOMEM, EPERM, ENOSYS]),
    (libc::SYS_clone, "clone", &[EAGAIN, ENOMEM, EPERM]),
    (libc::SYS_futex, "futex", &[EAGAIN, EINTR]),
    (libc::SYS_rt_sigaction, "rt_sigaction", NEVER),
    (libc::SYS_rt_sigprocmask, "rt_sigprocmask", NEVER),
    (libc::SYS_rt_sigtimedwait, "rt_sigtimedwait", &[EINTR]),
    (libc::SYS_sigaltstack, "sigaltstack", MEMORY),
    (libc::SYS_set_robust_list, "set_robust_list", NEVER),
    (libc::SYS_set_tid_address, "set_tid_address", NEVER),
    (libc::SYS_rseq, "rseq", &[ENOSYS]),
    (libc::SYS_sched_getaffinity, "sched_getaffinity", &[EPERM]),
    (libc::SYS_sched_setscheduler, "sched_setscheduler", &[EPERM]),
    (libc::SYS_sched_yield, "sched_yield", NEVER),
    (libc::SYS_setpriority, "setpriority", &[EACCES, EPERM]),
    (libc::SYS_ioprio_set, "ioprio_set", &[EPERM]),
    (libc::SYS_clock_nanosleep, "clock_nanosleep", &[EINTR]),
    (libc::SYS_clock_gettime, "clock_gettime", NEVER),
    (libc::SYS_exit, "exit", NEVER),
    (libc::SYS_exit_group, "exit_group", NEVER),
    (libc::SYS_kill, "kill", &[EPERM]),
    (libc::SYS_tgkill, "tgkill", &[EAGAIN]),
    (libc::SYS_setsid, "setsid", &[EPERM]),
    (libc::SYS_setresuid, "setresuid", &[EAGAIN, EPERM, ENOMEM]),
    (libc::SYS_setresgid, "setresgid", &[EAGAIN, EPERM, ENOMEM]),
    (libc::SYS_setgroups, "setgroups", &[EPERM, ENOMEM]),
    (libc::SYS_prctl, "prctl", &[EINVAL, EPERM]),
    (libc::SYS_prlimit64, "prlimit64", &[EPERM]),
    (libc::SYS_getuid, "getuid", NEVER),
    (libc::SYS_geteuid, "geteuid", NEVER),
    (libc::SYS_getpid, "getpid", NEVER),
    (libc::SYS_getppid, "getppid", NEVER),
    (libc::SYS_gettid, "gettid", NEVER),
    (libc::SYS_umask, "umask", NEVER),
    (libc::SYS_uname, "uname", NEVER),
    (libc::SYS_sysinfo, "sysinfo", NEVER),
    (libc::SYS_getcwd, "getcwd", LOOKUP),
    (libc::SYS_getrandom, "getrandom", &[EINTR, EAGAIN, ENOSYS]),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_arch_prctl, "arch_prctl", &[EPERM]),
    // Sockets.
    (libc::SYS_socket, "socket", SOCKET),
    (libc::SYS_connect, "connect", &[EACCES, ECONNREFUSED, ENOMEM, EINTR, EAGAIN]),
    (libc::SYS_bind, "bind", &[EACCES, ENOMEM]),
    (libc::SYS_listen, "listen", NEVER),
    (libc::SYS_accept4, "accept4", &[EMFILE, ENFILE, ENOMEM, ENOBUFS, ECONNABORTED, EINTR, EAGAIN]),
    (libc::SYS_shutdown, "shutdown", &[ENOBUFS]),
    (libc::SYS_sendto, "sendto", SEND),
    (libc::SYS_sendmsg, "sendmsg", SEND),
    (libc::SYS_recvfrom, "recvfrom", RECEIVE),
    (libc::SYS_recvmsg, "recvmsg", RECEIVE),
    (libc::SYS_getsockopt, "getsockopt", &[ENOBUFS, ENOMEM]),
    (libc::SYS_setsockopt, "setsockopt", &[ENOBUFS, ENOMEM]),
    (libc::SYS_getpeername, "getpeername", &[ENOBUFS]),
    (libc::SYS_getsockname, "getsockname", &[ENOBUFS]),
    (libc::SYS_ppoll, "ppoll", &[EINTR, ENOMEM]),
    (libc::SYS_pselect6, "pselect6", &[EINTR, ENOMEM]),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_poll, "poll", &[EINTR, ENOMEM]),
    (libc::SYS_eventfd2, "eventfd2", DESCRIPTOR),
    (libc::SYS_epoll_create1, "epoll_create1", DESCRIPTOR),
    (libc::SYS_epoll_ctl, "epoll_ctl", &[ENOMEM, ENOSPC]),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_epoll_wait, "epoll_wait", &[EINTR]),
    (libc::SYS_epoll_pwait, "epoll_pwait", &[EINTR]),
];
