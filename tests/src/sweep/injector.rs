//! The program in the host that makes the faults.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde::de::DeserializeOwned;

use super::orders::Order;
use crate::host::Running;

/// Where it is found in the host.
pub(super) const INJECTOR: &str = "/usr/local/bin/fault-injector";

/// The program, for as long as this lives.
#[derive(Debug)]
pub(super) struct Injector {
    process: Child,
    orders: ChildStdin,
    said: BufReader<ChildStdout>,
}

impl Injector {
    pub(super) fn start(host: &Running) -> Self {
        let mut command = host.command(&[INJECTOR]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let orders = process.stdin.take().unwrap();
        let said = BufReader::new(process.stdout.take().unwrap());
        let mut injector = Self { process, orders, said };
        injector.heard::<()>();
        injector
    }

    pub(super) fn ask<T: DeserializeOwned>(&mut self, order: Order) -> T {
        self.order(order);
        self.heard()
    }

    pub(super) fn order(&mut self, order: Order) {
        writeln!(self.orders, "{}", serde_json::to_string(&order).unwrap()).unwrap();
    }

    pub(super) fn heard<T: DeserializeOwned>(&mut self) -> T {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }
}

impl Drop for Injector {
    fn drop(&mut self) {
        // What it traces ends with it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
