//! The commands of the README: `cargo xtask <command>`. Without a command it prints what there is.

mod bench_browser;
mod browser;
mod commands;
mod cuda;
mod embed;
mod fuzz_api;
mod metal;
mod page;
mod paths;
mod process;

use std::path::PathBuf;
use std::process::ExitCode;

const HELP: &str = "\
The commands of this repository.

  cargo xtask test                    format, lints, documentation and every test, as CI runs them
  cargo xtask test-browser            the last part of it: both engines against each other in Chromium
  cargo xtask test-paths              the engine's tests as on processors without AVX-512, and without AVX
  cargo xtask demo [--out DIR]        build `mudi` in release mode and run its demo into DIR (default: demo)
  cargo xtask serve [--data DIR] [--features NAMES] [-- ARGUMENTS]
                                      build the page and `mudi` in release mode, as with the features `cuda` or `metal`, and
                                      serve DIR (default: mudi-data) until Ctrl-C; `mudi serve` gets the further arguments,
                                      whose paths begin at the repository
  cargo xtask page                    build the page, which builds of `mudi` from then on embed
  cargo xtask screenshots             the README's pictures of the page, anew, into docs/images
  cargo xtask fuzz-api [--seconds N]  what fits the API's description, and what does not, sent to a server (default: 600 s)
  cargo xtask bench-browser --python PATH
                                      the page's engines beside ONNX Runtime in Chromium; the Python has diffusers and onnx
  cargo xtask check-cuda              the program with the feature `cuda`, linted and linked, on a machine without a card
  cargo xtask check-metal             the program with the feature `metal`, linted for a Mac on any machine
  cargo xtask fixtures --python PATH  make the parity fixtures again with a Python that has diffusers
  cargo xtask help                    this text
";

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Help,
    Test,
    TestBrowser,
    TestPaths,
    Demo { out: PathBuf },
    Page,
    Screenshots,
    Serve(Serving),
    FuzzApi { seconds: u64 },
    BenchBrowser { python: PathBuf },
    CheckCuda,
    CheckMetal,
    Fixtures { python: PathBuf },
}

/// What is built and served.
#[derive(Debug, PartialEq, Eq)]
struct Serving {
    /// The data folder.
    data: PathBuf,
    /// The program's features, as cargo reads them.
    features: Option<String>,
    /// What `mudi serve` is told besides.
    further: Vec<String>,
}

/// Why a command stopped.
#[derive(Debug, PartialEq, Eq)]
struct Failure {
    /// For the user: fault and cure.
    message: String,
    /// The exit code of the step that failed; 2 for a wrong command line.
    code: u8,
}

impl Failure {
    fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 2 }
    }

    fn step(message: impl Into<String>, code: u8) -> Self {
        Self { message: message.into(), code }
    }
}

/// Reads the command line, without the program's name.
fn parse(mut words: impl Iterator<Item = String>) -> Result<Command, Failure> {
    let Some(name) = words.next() else { return Ok(Command::Help) };
    match name.as_str() {
        "help" | "--help" | "-h" => Ok(Command::Help),
        "test" => option(words, "test", None).map(|_| Command::Test),
        "test-browser" => option(words, "test-browser", None).map(|_| Command::TestBrowser),
        "test-paths" => option(words, "test-paths", None).map(|_| Command::TestPaths),
        "demo" => {
            let out = option(words, "demo", Some("--out"))?;
            Ok(Command::Demo { out: out.unwrap_or_else(|| PathBuf::from("demo")) })
        }
        "page" => option(words, "page", None).map(|_| Command::Page),
        "screenshots" => option(words, "screenshots", None).map(|_| Command::Screenshots),
        "serve" => {
            let own = words.by_ref().take_while(|word| word != "--");
            let [data, features] = options(own, "serve", ["--data", "--features"])?;
            let data = data.map_or_else(|| PathBuf::from("mudi-data"), PathBuf::from);
            Ok(Command::Serve(Serving { data, features, further: words.collect() }))
        }
        "fuzz-api" => {
            let Some(given) = option(words, "fuzz-api", Some("--seconds"))? else {
                return Ok(Command::FuzzApi { seconds: fuzz_api::SECONDS });
            };
            let seconds = given.to_str().and_then(|given| given.parse().ok()).filter(|seconds| *seconds > 0);
            let fault = || Failure::usage("`--seconds` needs a whole number after it, 1 or more");
            Ok(Command::FuzzApi { seconds: seconds.ok_or_else(fault)? })
        }
        "check-cuda" => option(words, "check-cuda", None).map(|_| Command::CheckCuda),
        "check-metal" => option(words, "check-metal", None).map(|_| Command::CheckMetal),
        "bench-browser" => {
            interpreter(words, "bench-browser", "onnx").map(|python| Command::BenchBrowser { python })
        }
        "fixtures" => interpreter(words, "fixtures", "peft").map(|python| Command::Fixtures { python }),
        _ => Err(Failure::usage(format!("there is no command `{name}`\n\n{HELP}"))),
    }
}

/// The value of `--python`, which `command` cannot do without.
fn interpreter(
    words: impl Iterator<Item = String>,
    command: &str,
    further: &str,
) -> Result<PathBuf, Failure> {
    option(words, command, Some("--python"))?.ok_or_else(|| {
        Failure::usage(format!(
            "`{command}` needs `--python PATH`: a Python with torch, diffusers and {further}"
        ))
    })
}

/// The value of the one option that `command` has.
fn option(
    words: impl Iterator<Item = String>,
    command: &str,
    known: Option<&str>,
) -> Result<Option<PathBuf>, Failure> {
    match known {
        Some(name) => options(words, command, [name]).map(|[value]| value.map(PathBuf::from)),
        None => options(words, command, []).map(|[]| None),
    }
}

/// The values of the options that `command` has, written `--name VALUE` or `--name=VALUE`.
fn options<const N: usize>(
    mut words: impl Iterator<Item = String>,
    command: &str,
    known: [&str; N],
) -> Result<[Option<String>; N], Failure> {
    let mut values = [const { None }; N];
    while let Some(word) = words.next() {
        let (name, given) = match word.split_once('=') {
            Some((name, given)) => (name.to_owned(), Some(given.to_owned())),
            None => (word, None),
        };
        let Some(place) = known.iter().position(|known| *known == name) else {
            return Err(Failure::usage(format!("`{command}` does not take `{name}`\n\n{HELP}")));
        };
        let given = given.or_else(|| words.next()).filter(|given| !given.is_empty());
        values[place] =
            Some(given.ok_or_else(|| Failure::usage(format!("`{name}` needs a value after it")))?);
    }
    Ok(values)
}

fn main() -> ExitCode {
    let result = parse(std::env::args().skip(1)).and_then(|command| match command {
        Command::Help => {
            print!("{HELP}");
            Ok(())
        }
        Command::Test => commands::test(),
        Command::TestBrowser => commands::test_browser(),
        Command::TestPaths => paths::test_paths(),
        Command::Demo { out } => commands::demo(&out),
        Command::Page => page::page(),
        Command::Screenshots => commands::screenshots(),
        Command::Serve(serving) => commands::serve(&serving),
        Command::FuzzApi { seconds } => fuzz_api::fuzz_api(seconds),
        Command::BenchBrowser { python } => bench_browser::bench_browser(&python),
        Command::CheckCuda => cuda::check_cuda(),
        Command::CheckMetal => metal::check_metal(),
        Command::Fixtures { python } => commands::fixtures(&python),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, Failure> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn command_lines() {
        assert_eq!(parsed(""), Ok(Command::Help));
        assert_eq!(parsed("test"), Ok(Command::Test));
        assert_eq!(parsed("test-browser"), Ok(Command::TestBrowser));
        assert_eq!(parsed("test-paths"), Ok(Command::TestPaths));
        assert_eq!(parsed("demo"), Ok(Command::Demo { out: "demo".into() }));
        assert_eq!(parsed("demo --out a/b"), Ok(Command::Demo { out: "a/b".into() }));
        assert_eq!(parsed("demo --out=a"), Ok(Command::Demo { out: "a".into() }));
        assert_eq!(parsed("page"), Ok(Command::Page));
        assert_eq!(parsed("screenshots"), Ok(Command::Screenshots));
        let serving = |data: &str, features: Option<&str>, further: &[&str]| {
            let further = further.iter().map(|&word| word.to_owned()).collect();
            Ok(Command::Serve(Serving { data: data.into(), features: features.map(str::to_owned), further }))
        };
        assert_eq!(parsed("serve"), serving("mudi-data", None, &[]));
        assert_eq!(parsed("serve --data d"), serving("d", None, &[]));
        assert_eq!(
            parsed("serve --features=cuda,cudnn --data d -- --device cuda --nice=0"),
            serving("d", Some("cuda,cudnn"), &["--device", "cuda", "--nice=0"])
        );
        assert_eq!(parsed("serve -- --help"), serving("mudi-data", None, &["--help"]));
        assert_eq!(parsed("fuzz-api"), Ok(Command::FuzzApi { seconds: 600 }));
        assert_eq!(parsed("fuzz-api --seconds 60"), Ok(Command::FuzzApi { seconds: 60 }));
        assert_eq!(parsed("bench-browser --python=p"), Ok(Command::BenchBrowser { python: "p".into() }));
        assert_eq!(parsed("check-cuda"), Ok(Command::CheckCuda));
        assert_eq!(parsed("check-metal"), Ok(Command::CheckMetal));
        assert_eq!(parsed("fixtures --python p"), Ok(Command::Fixtures { python: "p".into() }));
    }

    #[test]
    fn wrong_command_lines_say_what_is_wrong() {
        for (line, part) in [
            ("tset", "no command `tset`"),
            ("test --fast", "`test` does not take `--fast`"),
            ("demo --out", "`--out` needs a value"),
            ("demo --out=", "`--out` needs a value"),
            ("demo here", "`demo` does not take `here`"),
            ("serve --device cuda", "`serve` does not take `--device`"),
            ("serve --features -- --nice 0", "`--features` needs a value"),
            ("fuzz-api --seconds 0", "`--seconds` needs a whole number"),
            ("fuzz-api --seconds few", "`--seconds` needs a whole number"),
            ("fixtures", "needs `--python PATH`"),
            ("bench-browser", "needs `--python PATH`"),
        ] {
            let failure = parsed(line).unwrap_err();
            assert!(failure.message.contains(part), "{line}: {}", failure.message);
            assert_eq!(failure.code, 2);
        }
    }
}
