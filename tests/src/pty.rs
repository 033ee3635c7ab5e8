//! A person at a terminal.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// How long something on the screen is waited for, where nothing else is said.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why nothing was found on the screen.
const ENDED: &str = "the program ended";
const TIME_RAN_OUT: &str = "time ran out";

/// A program on a terminal, and who sits at it.
#[derive(Debug)]
pub struct Pty {
    child: Child,
    keyboard: File,
    screen: Arc<(Mutex<Screen>, Condvar)>,
    /// How far the person has read.
    read: usize,
    patience: Duration,
}

#[derive(Debug, Default)]
struct Screen {
    bytes: Vec<u8>,
    ended: bool,
}

impl Pty {
    /// Starts `command` on a terminal of 80 columns and 50 lines.
    pub fn spawn(command: &Command) -> Self {
        Self::spawn_sized(command, 80, 50)
    }

    /// Starts `command` on a terminal of that size.
    pub fn spawn_sized(command: &Command, columns: u16, lines: u16) -> Self {
        let size = Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let (keyboard, end_of_program) = terminal(size);
        // setsid makes the terminal the controlling one, for programs that open /dev/tty.
        let mut on_terminal = Command::new("setsid");
        on_terminal.arg("--ctty").arg(command.get_program()).args(command.get_args()).env_clear();
        on_terminal.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let end = |fd: &OwnedFd| Stdio::from(fd.try_clone().unwrap());
        let (stdin, stdout) = (end(&end_of_program), end(&end_of_program));
        on_terminal.stdin(stdin).stdout(stdout).stderr(end_of_program);
        let child = on_terminal.spawn().unwrap();
        // With a copy of the program's end open here, the end of the program would go unnoticed.
        drop(on_terminal);
        let screen = Arc::default();
        watch(keyboard.try_clone().unwrap(), Arc::clone(&screen));
        Self { child, keyboard, screen, read: 0, patience: PATIENCE }
    }

    /// Has whoever sits there wait longer, or less long.
    #[must_use]
    pub fn patient(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The process that was started.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for `text` behind what was read before, and reads up to its end. Returns what stood
    /// before it.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> String {
        self.expect_any(&[text]).1
    }

    /// Waits for the first of several texts: its place in `texts`, and what stood before it.
    #[track_caller]
    pub fn expect_any(&mut self, texts: &[&str]) -> (usize, String) {
        let found = self.wait(|news| {
            let found = texts.iter().enumerate().filter_map(|(which, text)| {
                news.windows(text.len()).position(|w| w == text.as_bytes()).map(|at| (at, which))
            });
            found.min()
        });
        match found {
            Ok((at, which)) => {
                let before = self.unread()[..at].to_vec();
                self.read += at + texts[which].len();
                (which, String::from_utf8_lossy(&before).into_owned())
            }
            Err(why) => panic!("{why} before {texts:?} was shown; the terminal:\n{}", self.text()),
        }
    }

    /// Types `text`.
    pub fn send(&mut self, text: &str) {
        // The program may have gone already; what is on the screen tells.
        let _ = self.keyboard.write_all(text.as_bytes());
    }

    /// Types `text` and Enter.
    pub fn send_line(&mut self, text: &str) {
        self.send(&format!("{text}\r"));
    }

    /// Types `text` and Enter until the program writes something else than that. Some throw away what is typed
    /// before they read, their question on the screen already (pacman does, and shows its cursor meanwhile).
    #[track_caller]
    pub fn insist(&mut self, text: &str) {
        let deadline = Instant::now() + self.patience;
        loop {
            self.send_line(text);
            let again = deadline.min(Instant::now() + Duration::from_millis(500));
            match self.wait_until(again, |news| writes_more_than(text, news).then_some(())) {
                Err(TIME_RAN_OUT) if again < deadline => {}
                Err(TIME_RAN_OUT) => {
                    panic!("{text:?} is not taken; the terminal:\n{}", self.text())
                }
                _ => return,
            }
        }
    }

    /// Waits until the program has ended: its exit code, and what was shown since the last
    /// expectation.
    #[track_caller]
    pub fn end(&mut self) -> (Option<i32>, String) {
        match self.wait(|_| None::<()>) {
            Err(ENDED) => {}
            _ => panic!("the program does not end; the terminal:\n{}", self.text()),
        }
        let rest = String::from_utf8_lossy(&self.unread()).into_owned();
        self.read += self.unread().len();
        (self.child.wait().unwrap().code(), rest)
    }

    /// All that was shown so far, as it came.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.screen.0.lock().unwrap().bytes).into_owned()
    }

    fn unread(&self) -> Vec<u8> {
        self.screen.0.lock().unwrap().bytes[self.read..].to_vec()
    }

    fn wait<T>(&self, look: impl FnMut(&[u8]) -> Option<T>) -> Result<T, &'static str> {
        self.wait_until(Instant::now() + self.patience, look)
    }

    fn wait_until<T>(
        &self,
        deadline: Instant,
        mut look: impl FnMut(&[u8]) -> Option<T>,
    ) -> Result<T, &'static str> {
        let (screen, changed) = &*self.screen;
        let mut screen = screen.lock().unwrap();
        loop {
            if let Some(found) = look(&screen.bytes[self.read..]) {
                return Ok(found);
            }
            if screen.ended {
                return Err(ENDED);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(TIME_RAN_OUT);
            }
            screen = changed.wait_timeout(screen, left).unwrap().0;
        }
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        // Closing the terminal hangs up on what runs in it; this is for what does not listen.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A new terminal: the person's end of it, and the program's. Other programs, which other threads start meanwhile,
/// get neither: they would keep it open.
fn terminal(size: Winsize) -> (File, OwnedFd) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    tcsetwinsize(&ours, size).unwrap();
    let name = ptsname(&ours, vec![]).unwrap();
    let flags = i32::try_from(OFlags::NOCTTY.bits()).unwrap();
    let mut open = OpenOptions::new();
    let theirs = open.read(true).write(true).custom_flags(flags);
    let theirs = theirs.open(OsStr::from_bytes(name.as_bytes())).unwrap();
    (File::from(ours), theirs.into())
}

/// Whether there is more in `news` than the echo of `text`, again and again, and what is not seen.
fn writes_more_than(text: &str, news: &[u8]) -> bool {
    let news = String::from_utf8_lossy(news);
    let mut parts = news.split('\x1b');
    let seen = parts.next().into_iter().map(str::to_owned).chain(parts.map(|part| {
        // A control sequence ends with its first letter.
        part.trim_start_matches(|c: char| !c.is_ascii_alphabetic()).chars().skip(1).collect()
    }));
    let seen: String = seen.collect();
    seen.chars().any(|c| !"\r\n".contains(c) && !text.contains(c))
}

fn watch(mut terminal: File, screen: Arc<(Mutex<Screen>, Condvar)>) {
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        loop {
            // The last one to close the program's end makes this fail with EIO.
            let length = terminal.read(&mut buffer).unwrap_or(0);
            let (state, changed) = &*screen;
            let mut state = state.lock().unwrap();
            state.bytes.extend_from_slice(&buffer[..length]);
            state.ended = length == 0;
            changed.notify_all();
            if state.ended {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::Pty;

    /// As pacman does: asks, throws away what has been typed, reads.
    const FORGETFUL: &str = "
        use POSIX;
        $| = 1;
        print \"[Y/n] \\e[?25h\";
        vec(my $typed = '', 0, 1) = 1;
        select($typed, undef, undef, undef);
        tcflush(0, TCIFLUSH);
        print 'taken: ', scalar <STDIN>;";

    #[test]
    fn who_insists_is_heard_by_a_program_that_throws_away_what_was_typed() {
        let mut tty = Pty::spawn(Command::new("perl").args(["-e", FORGETFUL]));
        tty.expect("[Y/n] ");
        tty.insist("y");
        tty.expect("taken: y");
        assert_eq!(tty.end().0, Some(0));
    }

    #[test]
    fn who_insists_ends_with_the_program() {
        let mut tty = Pty::spawn(Command::new("sh").args(["-c", "read line; exit 3"]));
        tty.insist("y");
        assert_eq!(tty.end().0, Some(3));
    }
}
