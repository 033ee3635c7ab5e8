//! libpam as an application sees it: the only unsafe code of this program.
//!
//! Some hundred lines, and no crate: `nonstick` 0.1.2 was looked at. It copies an answer several
//! times without wiping it, does not contain a panic in the conversation, and panics itself at an
//! answer with a zero byte.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use mfa_protocol::Secret;

use crate::person::Person;

/// What libpam's functions return, a number of Linux-PAM's `_pam_types.h`.
pub type Code = c_int;

pub const SUCCESS: Code = 0;
const BUF_ERR: Code = 5;
pub const PERM_DENIED: Code = 6;
pub const AUTH_ERR: Code = 7;
pub const USER_UNKNOWN: Code = 10;
pub const MAXTRIES: Code = 11;
pub const NEW_AUTHTOK_REQD: Code = 12;
pub const ACCT_EXPIRED: Code = 13;
const CONV_ERR: Code = 19;
pub const AUTHTOK_EXPIRED: Code = 27;

/// `PAM_DISALLOW_NULL_AUTHTOK`: an empty password proves nobody.
const DISALLOW_NULL_AUTHTOK: c_int = 0x0001;

const ITEM_USER: c_int = 2;
const ITEM_RUSER: c_int = 8;

const PROMPT_ECHO_OFF: c_int = 1;
const PROMPT_ECHO_ON: c_int = 2;
const ERROR_MSG: c_int = 3;
const TEXT_INFO: c_int = 4;

/// `PAM_MAX_NUM_MSG`.
const MOST_MESSAGES: usize = 32;

#[repr(C)]
struct Handle {
    opaque: [u8; 0],
}

#[repr(C)]
struct RawMessage {
    style: c_int,
    text: *const c_char,
}

#[repr(C)]
struct RawResponse {
    text: *mut c_char,
    code: c_int,
}

type Converse = unsafe extern "C" fn(
    c_int,
    *const *const RawMessage,
    *mut *mut RawResponse,
    *mut c_void,
) -> Code;

#[repr(C)]
struct RawConversation {
    converse: Converse,
    data: *mut c_void,
}

#[link(name = "pam")]
unsafe extern "C" {
    fn pam_start(
        service: *const c_char,
        user: *const c_char,
        conversation: *const RawConversation,
        handle: *mut *mut Handle,
    ) -> Code;
    fn pam_end(handle: *mut Handle, status: Code) -> Code;
    fn pam_authenticate(handle: *mut Handle, flags: c_int) -> Code;
    fn pam_acct_mgmt(handle: *mut Handle, flags: c_int) -> Code;
    fn pam_set_item(handle: *mut Handle, item: c_int, value: *const c_void) -> Code;
    fn pam_get_item(handle: *const Handle, item: c_int, value: *mut *const c_void) -> Code;
    fn pam_strerror(handle: *mut Handle, code: Code) -> *const c_char;
}

/// What a module says to the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A question whose answer must not be seen.
    Hidden(String),
    /// A question whose answer may be seen.
    Visible(String),
    /// Something that went wrong.
    Error(String),
    /// Something to read.
    Info(String),
}

/// What is asked of PAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// `pam_authenticate`: the first factor.
    Authenticate,
    /// `pam_acct_mgmt`: whether the account may be used.
    Account,
}

/// One `pam_start … pam_end`. It keeps the person, whom libpam knows by address.
pub struct Transaction<'p> {
    handle: *mut Handle,
    status: Code,
    person: PhantomData<&'p mut ()>,
}

impl<'p> Transaction<'p> {
    /// `pam_start`, with `user` as `PAM_USER` and `PAM_RUSER`: it is the person who asks.
    pub fn start(service: &CStr, user: &CStr, person: &'p mut Person<'_>) -> Result<Self, Code> {
        let conversation =
            RawConversation { converse, data: ptr::from_mut(person).cast::<c_void>() };
        let mut handle = ptr::null_mut();
        // SAFETY: the strings are terminated, and libpam copies them and `conversation`; `handle` is
        // a place for one pointer. The person behind `data` is borrowed for longer than this lives,
        // and nobody else can reach it meanwhile.
        let status = unsafe {
            pam_start(service.as_ptr(), user.as_ptr(), &raw const conversation, &raw mut handle)
        };
        let mut transaction = Self { handle, status, person: PhantomData };
        if status != SUCCESS {
            return Err(status);
        }
        // SAFETY: the handle is the one that pam_start gave; the string is terminated, and copied.
        transaction.status = unsafe { pam_set_item(handle, ITEM_RUSER, user.as_ptr().cast()) };
        if transaction.status == SUCCESS { Ok(transaction) } else { Err(transaction.status) }
    }

    /// Takes one step, in conversation with the person.
    pub fn take(&mut self, step: Step) -> Code {
        let function = match step {
            Step::Authenticate => pam_authenticate,
            Step::Account => pam_acct_mgmt,
        };
        // SAFETY: the handle is the one that pam_start gave, and not ended.
        self.status = unsafe { function(self.handle, DISALLOW_NULL_AUTHTOK) };
        self.status
    }

    /// `PAM_USER` as it is now.
    pub fn user(&self) -> Option<CString> {
        let mut value = ptr::null();
        // SAFETY: the handle is the one that pam_start gave; `value` is a place for one pointer.
        let status = unsafe { pam_get_item(self.handle, ITEM_USER, &raw mut value) };
        if status != SUCCESS || value.is_null() {
            return None;
        }
        // SAFETY: not null, so it is a terminated string of libpam's, which stays until the next call
        // and is copied before that.
        Some(unsafe { CStr::from_ptr(value.cast()) }.to_owned())
    }

    /// libpam's words for a code.
    pub fn explanation(&mut self, code: Code) -> String {
        // SAFETY: the handle is the one that pam_start gave, and any number is explained.
        let text = unsafe { pam_strerror(self.handle, code) };
        // SAFETY: libpam's texts are static.
        unsafe { text_of(text) }
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle is ended once, here; where pam_start failed it is null, which pam_end
        // takes.
        unsafe { pam_end(self.handle, self.status) };
    }
}

/// What libpam calls with a module's messages.
///
/// # Safety
///
/// `messages` is null or points to `count` pointers, each null or to a message whose text is null or
/// terminated; `responses` is null or a place for one pointer; `data` is null or the address of a
/// [`Person`] whom nobody else reaches meanwhile.
unsafe extern "C" fn converse(
    count: c_int,
    messages: *const *const RawMessage,
    responses: *mut *mut RawResponse,
    data: *mut c_void,
) -> Code {
    let answers = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: libpam passes on what a module gave, which by pam_conv(3) keeps to this, and the
        // `data` that pam_start was given.
        unsafe { ask(count, messages, data) }
    }));
    let answers = match answers {
        Ok(Some(answers)) if !responses.is_null() => answers,
        Ok(_) => return CONV_ERR,
        Err(payload) => {
            // Dropping it could panic once more, outside of any guard.
            std::mem::forget(payload);
            return CONV_ERR;
        }
    };
    let array = allocated(&answers);
    if array.is_null() {
        return BUF_ERR;
    }
    // SAFETY: not null, so by pam_conv(3) it is a place for one pointer.
    unsafe { *responses = array };
    SUCCESS
}

/// The answers to all messages; `None` if there is not one to each question.
///
/// # Safety
///
/// As of [`converse`].
unsafe fn ask(
    count: c_int,
    messages: *const *const RawMessage,
    data: *mut c_void,
) -> Option<Vec<Option<Secret>>> {
    let count = usize::try_from(count).ok().filter(|count| (1..=MOST_MESSAGES).contains(count))?;
    if messages.is_null() {
        return None;
    }
    // SAFETY: the caller promises it.
    let person = unsafe { data.cast::<Person<'_>>().as_mut() }?;
    // SAFETY: not null, and the caller promises that many.
    let messages = unsafe { std::slice::from_raw_parts(messages, count) };
    let mut answers = Vec::with_capacity(count);
    for message in messages {
        // SAFETY: the caller promises it.
        let message = unsafe { message.as_ref() }?;
        // SAFETY: likewise.
        let text = unsafe { text_of(message.text) };
        let message = match message.style {
            PROMPT_ECHO_OFF => Message::Hidden(text),
            PROMPT_ECHO_ON => Message::Visible(text),
            ERROR_MSG => Message::Error(text),
            TEXT_INFO => Message::Info(text),
            _ => return None,
        };
        answers.push(person.answer(&message).ok()?);
    }
    Some(answers)
}

/// # Safety
///
/// `text` is null, or terminated and stays as it is until this returns.
unsafe fn text_of(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null, and the caller promises the rest.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// The answers as `pam_conv(3)` wants them: an array from malloc, and each text from malloc, all of
/// which the module frees. Null where there is no memory.
fn allocated(answers: &[Option<Secret>]) -> *mut RawResponse {
    // SAFETY: it takes numbers only. Zeroes are valid responses, without a text.
    let array: *mut RawResponse =
        unsafe { libc::calloc(answers.len(), size_of::<RawResponse>()) }.cast();
    if array.is_null() {
        return array;
    }
    for (number, answer) in answers.iter().enumerate() {
        let Some(answer) = answer.as_ref().map(Secret::expose) else { continue };
        // SAFETY: it takes numbers only; the last of the zeroes terminates the text.
        let text: *mut c_char = unsafe { libc::calloc(answer.len() + 1, 1) }.cast();
        if text.is_null() {
            // SAFETY: the array has this many responses, and nobody else knows it.
            unsafe { discard(array, answers.len()) };
            return ptr::null_mut();
        }
        // SAFETY: the text has room for the answer, and the array for this response.
        unsafe {
            ptr::copy_nonoverlapping(answer.as_ptr(), text.cast(), answer.len());
            (*array.add(number)).text = text;
        }
    }
    array
}

/// Wipes and frees what [`allocated`] made.
///
/// # Safety
///
/// `array` has `count` responses, whose texts are null or terminated; nobody uses it any more.
unsafe fn discard(array: *mut RawResponse, count: usize) {
    // SAFETY: the caller promises it.
    unsafe {
        for number in 0..count {
            let text = (*array.add(number)).text;
            if !text.is_null() {
                libc::explicit_bzero(text.cast(), libc::strlen(text));
                libc::free(text.cast());
            }
        }
        libc::free(array.cast());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mfa_protocol::conversation::Scripted;
    use mfa_protocol::{Answer, Conversation, ConversationError, Prompt, Style};

    /// Calls the conversation function as libpam does; what came of it, and the texts of the
    /// responses.
    fn call(
        conversation: &mut dyn Conversation,
        messages: &[(c_int, &CStr)],
    ) -> (Code, Vec<Option<CString>>) {
        let raw: Vec<_> = messages
            .iter()
            .map(|(style, text)| RawMessage { style: *style, text: text.as_ptr() })
            .collect();
        let pointers: Vec<_> = raw.iter().map(ptr::from_ref).collect();
        let mut person = Person::new(conversation);
        let mut responses = ptr::null_mut();
        // SAFETY: there are as many messages as is said, and the texts are terminated; the rest is
        // borrowed here alone.
        let code = unsafe {
            converse(
                c_int::try_from(messages.len()).unwrap(),
                pointers.as_ptr(),
                &raw mut responses,
                ptr::from_mut(&mut person).cast(),
            )
        };
        if code != SUCCESS {
            assert!(responses.is_null(), "nothing is left to be freed");
            return (code, vec![]);
        }
        // SAFETY: success means that there is a response to each message.
        let texts = unsafe { std::slice::from_raw_parts(responses, messages.len()) }
            .iter()
            // SAFETY: each text is null or terminated.
            .map(|response| unsafe {
                (!response.text.is_null()).then(|| CStr::from_ptr(response.text).to_owned())
            })
            .collect();
        // SAFETY: it is as `allocated` made it.
        unsafe { discard(responses, messages.len()) };
        (code, texts)
    }

    #[test]
    fn several_messages_at_once_have_their_answers_in_order() {
        let mut script = Scripted::new(["rabbit", "", "hole"]);
        let (code, texts) = call(
            &mut script,
            &[
                (TEXT_INFO, c"Welcome."),
                (PROMPT_ECHO_OFF, c"One: "),
                (ERROR_MSG, c"No."),
                (PROMPT_ECHO_ON, c"Two: "),
                (PROMPT_ECHO_OFF, c"Three: "),
            ],
        );
        assert_eq!(code, SUCCESS);
        let text = |text: &CStr| Some(text.to_owned());
        assert_eq!(texts, [None, text(c"rabbit"), None, text(c""), text(c"hole")]);
        assert_eq!(
            script.told,
            [(Style::Info, "Welcome.".to_owned()), (Style::Error, "No.".to_owned())]
        );
        let asked = [Prompt::hidden("One: "), Prompt::visible("Two: "), Prompt::hidden("Three: ")];
        assert_eq!(script.asked, asked);
    }

    #[test]
    fn a_question_without_an_answer_ends_the_conversation() {
        let prompts = [(PROMPT_ECHO_OFF, c"One: "), (PROMPT_ECHO_OFF, c"Two: ")];
        assert_eq!(call(&mut Scripted::new(["rabbit"]), &prompts).0, CONV_ERR);
        // A choice and a binary prompt of Linux-PAM's, and what nobody knows.
        for style in [0, 5, 7, -1] {
            assert_eq!(call(&mut Scripted::new(["rabbit"]), &[(style, c"?")]).0, CONV_ERR);
        }
    }

    #[test]
    fn what_no_module_may_pass_is_an_error() {
        let message = RawMessage { style: TEXT_INFO, text: ptr::null() };
        let pointer: *const RawMessage = &raw const message;
        let null: *const RawMessage = ptr::null();
        let mut script = Scripted::default();
        let mut person = Person::new(&mut script);
        let data: *mut c_void = ptr::from_mut(&mut person).cast();
        let mut responses = ptr::null_mut();
        for (count, messages, responses, data) in [
            (0, &raw const pointer, &raw mut responses, data),
            (-1, &raw const pointer, &raw mut responses, data),
            (33, &raw const pointer, &raw mut responses, data),
            (1, ptr::null(), &raw mut responses, data),
            (1, &raw const null, &raw mut responses, data),
            (1, &raw const pointer, ptr::null_mut(), data),
            (1, &raw const pointer, &raw mut responses, ptr::null_mut()),
        ] {
            // SAFETY: what is said not to be there is refused before it is looked at.
            let code = unsafe { converse(count, messages, responses, data) };
            assert_eq!(code, CONV_ERR);
        }
        assert!(responses.is_null());
        // A text that is null is an empty one.
        // SAFETY: there is one message, whose text is null.
        let code = unsafe { converse(1, &raw const pointer, &raw mut responses, data) };
        assert_eq!(code, SUCCESS);
        // SAFETY: it is as `allocated` made it.
        unsafe { discard(responses, 1) };
        // The last of those before went as far as the person, too.
        assert!(script.told.contains(&(Style::Info, String::new())));
    }

    #[test]
    fn a_panic_does_not_reach_libpam() {
        struct Panics;
        impl Conversation for Panics {
            fn ask(&mut self, _: &Prompt) -> Result<Answer, ConversationError> {
                panic!("asked")
            }
            fn tell(&mut self, _: Style, _: &str) {
                panic!("told")
            }
        }
        assert_eq!(call(&mut Panics, &[(PROMPT_ECHO_OFF, c"One: ")]).0, CONV_ERR);
        assert_eq!(call(&mut Panics, &[(TEXT_INFO, c"Welcome.")]).0, CONV_ERR);
    }
}
