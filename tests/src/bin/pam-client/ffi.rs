//! All of this package's unsafe code: libpam as an application sees it, and the few system calls
//! that have no safe wrapper.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::ForkResult;

const PAM_SUCCESS: c_int = 0;
const PAM_BUF_ERR: c_int = 5;
/// What a conversation function returns that cannot answer.
pub const PAM_CONV_ERR: c_int = 19;

/// `PAM_USER`, the only item that is read.
pub const PAM_USER: c_int = 2;

#[repr(C)]
struct Handle {
    opaque: [u8; 0],
}

#[repr(C)]
struct Message {
    style: c_int,
    text: *const c_char,
}

#[repr(C)]
struct Response {
    text: *mut c_char,
    code: c_int,
}

type Converse = extern "C" fn(c_int, *mut *const Message, *mut *mut Response, *mut c_void) -> c_int;

#[repr(C)]
struct Conversation {
    converse: Option<Converse>,
    data: *mut c_void,
}

#[link(name = "pam")]
unsafe extern "C" {
    fn pam_start_confdir(
        service: *const c_char,
        user: *const c_char,
        conversation: *const Conversation,
        confdir: *const c_char,
        handle: *mut *mut Handle,
    ) -> c_int;
    fn pam_end(handle: *mut Handle, status: c_int) -> c_int;
    fn pam_authenticate(handle: *mut Handle, flags: c_int) -> c_int;
    fn pam_setcred(handle: *mut Handle, flags: c_int) -> c_int;
    fn pam_acct_mgmt(handle: *mut Handle, flags: c_int) -> c_int;
    fn pam_open_session(handle: *mut Handle, flags: c_int) -> c_int;
    fn pam_close_session(handle: *mut Handle, flags: c_int) -> c_int;
    fn pam_chauthtok(handle: *mut Handle, flags: c_int) -> c_int;
    fn pam_set_item(handle: *mut Handle, item: c_int, value: *const c_void) -> c_int;
    fn pam_get_item(handle: *const Handle, item: c_int, value: *mut *const c_void) -> c_int;
    fn pam_putenv(handle: *mut Handle, name_value: *const c_char) -> c_int;
    fn pam_getenvlist(handle: *mut Handle) -> *mut *mut c_char;
}

/// What the conversation function does with one message.
pub enum Reply {
    /// Nothing is answered: the message was a text, or the response shall be NULL.
    Nothing,
    /// This is answered.
    Text(Vec<u8>),
    /// The conversation ends with this code.
    Code(c_int),
}

/// What is called with the style and the text of each message.
pub type Answering<'a> = dyn FnMut(c_int, &[u8]) -> Reply + 'a;

/// A function of libpam that takes flags.
#[derive(Clone, Copy)]
pub enum Function {
    Authenticate,
    Setcred,
    AcctMgmt,
    OpenSession,
    CloseSession,
    Chauthtok,
}

/// One `pam_start … pam_end`.
pub struct Session<'a> {
    handle: *mut Handle,
    status: c_int,
    // Two boxes: libpam keeps an address of the inner one, which must be thin and must stay.
    answering: *mut Box<Answering<'a>>,
}

impl<'a> Session<'a> {
    /// `pam_start_confdir`; without `answering` there is a conversation without a function.
    pub fn start(
        confdir: &CStr,
        service: &CStr,
        user: Option<&CStr>,
        answering: Option<Box<Answering<'a>>>,
    ) -> Result<Self, c_int> {
        let converse = answering.is_some().then_some(converse as Converse);
        let answering = answering.map_or(ptr::null_mut(), |it| Box::into_raw(Box::new(it)));
        let conversation = Conversation { converse, data: answering.cast() };
        let mut handle = ptr::null_mut();
        let user = user.map_or(ptr::null(), CStr::as_ptr);
        // SAFETY: the strings are terminated and, like `conversation`, copied by libpam; `handle`
        // is a place for one pointer. `answering` stays valid until after pam_end, in `drop`.
        let status = unsafe {
            pam_start_confdir(
                service.as_ptr(),
                user,
                &raw const conversation,
                confdir.as_ptr(),
                &raw mut handle,
            )
        };
        let session = Self { handle, status, answering };
        if status == PAM_SUCCESS { Ok(session) } else { Err(status) }
    }

    /// Calls one of the functions.
    pub fn call(&mut self, function: Function, flags: c_int) -> c_int {
        let function = match function {
            Function::Authenticate => pam_authenticate,
            Function::Setcred => pam_setcred,
            Function::AcctMgmt => pam_acct_mgmt,
            Function::OpenSession => pam_open_session,
            Function::CloseSession => pam_close_session,
            Function::Chauthtok => pam_chauthtok,
        };
        // SAFETY: the handle is the one that pam_start gave, and not ended.
        self.status = unsafe { function(self.handle, flags) };
        self.status
    }

    /// `pam_set_item` of an item that is a string.
    pub fn set_item(&mut self, item: c_int, value: Option<&CStr>) -> c_int {
        let value = value.map_or(ptr::null(), CStr::as_ptr);
        // SAFETY: libpam copies string items.
        unsafe { pam_set_item(self.handle, item, value.cast()) }
    }

    /// `pam_get_item` of an item that is a string.
    pub fn item(&self, item: c_int) -> Option<String> {
        let mut value = ptr::null();
        // SAFETY: `value` is a place for one pointer.
        let status = unsafe { pam_get_item(self.handle, item, &raw mut value) };
        if status != PAM_SUCCESS || value.is_null() {
            return None;
        }
        // SAFETY: it is a string item, owned by libpam until the next call, and copied here.
        let text = unsafe { CStr::from_ptr(value.cast()) };
        Some(text.to_string_lossy().into_owned())
    }

    /// `pam_putenv`.
    pub fn putenv(&mut self, name_value: &CStr) -> c_int {
        // SAFETY: libpam copies the string.
        unsafe { pam_putenv(self.handle, name_value.as_ptr()) }
    }

    /// `pam_getenvlist`.
    pub fn environment(&mut self) -> Vec<String> {
        let mut all = vec![];
        // SAFETY: the list is the caller's, ends with NULL, and is freed here, each string of it
        // and itself, as pam_getenvlist(3) wants it.
        unsafe {
            let list = pam_getenvlist(self.handle);
            if list.is_null() {
                return all;
            }
            let mut entry = list;
            while !(*entry).is_null() {
                all.push(CStr::from_ptr(*entry).to_string_lossy().into_owned());
                libc::free((*entry).cast());
                entry = entry.add(1);
            }
            libc::free(list.cast());
        }
        all
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle is ended once, here; pam_end takes NULL, which pam_start leaves behind
        // when it fails. Only then does nobody know the address of `answering` any more.
        unsafe {
            pam_end(self.handle, self.status);
            if !self.answering.is_null() {
                drop(Box::from_raw(self.answering));
            }
        }
    }
}

extern "C" fn converse(
    count: c_int,
    messages: *mut *const Message,
    responses: *mut *mut Response,
    data: *mut c_void,
) -> c_int {
    // SAFETY: `data` is the address that `Session::start` gave, and still there, since only pam_end
    // ends the conversation; libpam calls from one thread, so it is borrowed once. Linux-PAM passes
    // an array of `count` pointers to messages, each with a terminated text.
    let (answering, messages) = unsafe {
        let count = usize::try_from(count).unwrap_or(0);
        (&mut *data.cast::<Box<Answering<'_>>>(), std::slice::from_raw_parts(messages, count))
    };
    let answer = || -> Result<Vec<Option<Vec<u8>>>, c_int> {
        let mut answers = vec![];
        for &message in messages {
            // SAFETY: as above.
            let (style, text) = unsafe { ((*message).style, CStr::from_ptr((*message).text)) };
            answers.push(match answering(style, text.to_bytes()) {
                Reply::Nothing => None,
                Reply::Text(text) => Some(text),
                Reply::Code(code) => return Err(code),
            });
        }
        Ok(answers)
    };
    let answers = match catch_unwind(AssertUnwindSafe(answer)) {
        Ok(Ok(answers)) => answers,
        Ok(Err(code)) => return code,
        Err(_) => return PAM_CONV_ERR,
    };
    // SAFETY: PAM wants an array from malloc, as many responses as messages, each text from malloc
    // too; whoever asked frees both. calloc's zeroes are valid responses without a text.
    unsafe {
        let array: *mut Response = libc::calloc(answers.len(), size_of::<Response>()).cast();
        if array.is_null() {
            return PAM_BUF_ERR;
        }
        for (number, answer) in answers.into_iter().enumerate() {
            if let Some(answer) = answer.and_then(|answer| CString::new(answer).ok()) {
                (*array.add(number)).text = libc::strdup(answer.as_ptr());
            }
        }
        *responses = array;
    }
    PAM_SUCCESS
}

/// fork(2).
pub fn fork() -> nix::Result<ForkResult> {
    // SAFETY: this program forks while it has one thread only (`main`, and a race before anything
    // else is started), so the child may do what the parent might have done.
    unsafe { nix::unistd::fork() }
}

/// `_exit(2)`: nothing is flushed, nothing is run on the way out.
pub fn exit_at_once(code: i32) -> ! {
    // SAFETY: it does not return and touches nothing.
    unsafe { libc::_exit(code) }
}

/// Closes a descriptor that the application was started with.
pub fn close(fd: i32) {
    // SAFETY: it is one of those that no value of this program owns: 0, 1 and 2, of which the
    // program keeps copies, or one that a test handed down.
    unsafe { libc::close(fd) };
}

/// Ignores a signal.
pub fn ignore(signal: Signal) {
    let action = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    // SAFETY: no handler of ours is installed.
    unsafe { sigaction(signal, &action) }.expect("sigaction");
}

/// Reaps every child as soon as it has ended, as some hosts do.
pub fn reap_all() {
    extern "C" fn reap(_: c_int) {
        // SAFETY: waitpid is safe in a handler, and errno is put back for whom it interrupts.
        unsafe {
            let errno = *libc::__errno_location();
            while libc::waitpid(-1, ptr::null_mut(), libc::WNOHANG) > 0 {}
            *libc::__errno_location() = errno;
        }
    }
    let action = SigAction::new(SigHandler::Handler(reap), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler calls nothing but waitpid.
    unsafe { sigaction(Signal::SIGCHLD, &action) }.expect("sigaction");
}

/// What the process does at each signal: the handler's address and flags.
pub fn dispositions() -> Vec<(i32, String)> {
    (1..=libc::SIGRTMAX())
        .filter_map(|signal| {
            // SAFETY: zeroes are a valid sigaction, which the call then fills; nothing is set.
            let action = unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                let status = libc::sigaction(signal, ptr::null(), &raw mut action);
                (status == 0).then_some(action)?
            };
            // Numbers, not addresses to call: they are compared only.
            Some((signal, format!("{:#x} {:#x}", action.sa_sigaction, action.sa_flags)))
        })
        .collect()
}

/// Opens the descriptor that syslog(3) keeps for ever, so that nobody else is taken to have leaked
/// it.
pub fn warm_up_syslog() {
    // SAFETY: format and argument are terminated strings.
    unsafe { libc::syslog(libc::LOG_DEBUG | libc::LOG_USER, c"%s".as_ptr(), c"started".as_ptr()) };
}

/// `setresuid(2)` of this process.
pub fn set_uids(real: u32, effective: u32, saved: u32) -> io::Result<()> {
    // SAFETY: it touches no memory.
    let status = unsafe { libc::setresuid(real, effective, saved) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
