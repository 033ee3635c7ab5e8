//! The first process of a container; see [`mfa_tests::container`].
#![forbid(unsafe_code)]

use std::io;

use mfa_tests::container;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["outside", layout] => container::outside(layout),
        ["inside", layout] => container::inside(layout),
        _ => Err(io::Error::other("this program is started by the tests")),
    }
}
