//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;

pub(crate) struct Options {
    pub(crate) once: bool,
    /// The service time that the scripts are given.
    pub(crate) work: Duration,
    /// Clients of the demonstration load.
    pub(crate) clients: usize,
    /// 0: a free one.
    pub(crate) port: u16,
    pub(crate) python: String,
    /// `None`: `./state`, deleted at the end.
    pub(crate) state: Option<PathBuf>,
}

pub(crate) const HELP: &str = "\
Serves a real model in two versions behind a gateway, on this machine.

Usage: cargo run --release --example quickstart [-- OPTIONS]

  --once          run a script of checks instead, and exit 0 only if all of them held
  --work-ms N     service time that a request takes in a replica [default: 20]
  --clients N     clients of the demonstration load [default: 2]
  --port N        port of the gateway [default: a free one]
  --python NAME   the Python interpreter to use, 3.7 or newer [default: python3]
  --state FOLDER  keep the state there [default: ./state, deleted at the end]
  --help          this text
";

impl Options {
    /// What the command line says; `None` if it asks for help.
    pub(crate) fn parse() -> Result<Option<Self>, lexopt::Error> {
        let mut options = Self {
            once: false,
            work: Duration::from_millis(20),
            clients: 2,
            port: 0,
            python: "python3".into(),
            state: None,
        };
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("once") => options.once = true,
                Long("work-ms") => options.work = Duration::from_millis(arguments.value()?.parse()?),
                Long("clients") => options.clients = arguments.value()?.parse()?,
                Long("port") => options.port = arguments.value()?.parse()?,
                Long("python") => options.python = arguments.value()?.parse()?,
                Long("state") => options.state = Some(arguments.value()?.into()),
                Long("help") | Short('h') => return Ok(None),
                other => return Err(other.unexpected()),
            }
        }
        Ok(Some(options))
    }
}
