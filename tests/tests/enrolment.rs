//! x
use mfa_tests::screen::{Screen, Theme};
use mfa_tests::{Host, Pty};
use std::path::Path;

#[test]
fn explore() {
    let host = Host::new().user("alice", "rabbit hole").start();
    for (name, env, columns, lines) in [
        ("utf8", "TERM=xterm", 80, 24),
        ("utf8wide", "TERM=xterm", 132, 50),
        ("ascii", "LANG=C", 80, 24),
        ("asciiwide", "LANG=C", 132, 60),
        ("dumb", "TERM=dumb", 80, 24),
        ("dumbasciiwide", "TERM=dumb LANG=C", 132, 60),
        ("narrow", "TERM=xterm", 30, 24),
    ] {
        let argv = ["sh", "-c", &format!("{env} exec mfa-setup --user alice")];
        let mut tty = Pty::spawn_sized(&host.command(&argv), columns, lines);
        tty.expect("A name for the device");
        tty.send_line("");
        tty.expect("The code that it shows now: ");
        let screen = Screen::new(tty.text().as_bytes(), columns, lines);
        println!("{name}\n{}\n-----", screen.text());
        for theme in [Theme::Light, Theme::Dark] {
            let p = screen.picture(theme);
            p.save(Path::new(&format!("/tmp/w/enrol-{name}-{theme:?}.pgm")));
            println!("{theme:?} {:?} /2 {:?} /4 {:?}", p.codes(), p.coarser(2).codes(), p.coarser(4).codes());
        }
    }
    panic!();
}
