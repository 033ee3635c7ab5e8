//! `make demo` shows what it promises: the program itself fails where a screen ends otherwise.

use std::process::Command;

#[test]
fn the_demo_comes_to_its_end() {
    let demo = Command::new(env!("CARGO_BIN_EXE_demo")).output().unwrap();
    let shown = String::from_utf8_lossy(&demo.stdout);
    assert!(demo.status.success(), "{shown}{}", String::from_utf8_lossy(&demo.stderr));
    assert!(shown.contains("█▀▀▀▀▀█"), "a QR code: {shown}");
    assert_eq!(shown.matches("This code was already used").count(), 2, "{shown}");
}
