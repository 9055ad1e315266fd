//! The Peerloom signalling server. `peerloom-server --help` lists its options.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use peerloom_server::config::{LogFormat, Options};
use tokio::net::TcpListener;

fn main() -> ExitCode {
    let options = Options::parse();
    let config = match options.check() {
        Ok(config) => config,
        Err(problem) => {
            eprintln!("peerloom-server: {problem}");
            return ExitCode::from(2);
        }
    };
    start_log(options.log_format, options.log_level);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("peerloom-server: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(async {
        let listener = match TcpListener::bind(options.listen).await {
            Ok(listener) => listener,
            Err(error) => {
                eprintln!("peerloom-server: cannot listen on {}: {error}", options.listen);
                return ExitCode::FAILURE;
            }
        };
        let address = listener.local_addr().unwrap_or(options.listen);
        // One plain line, whatever the format of the log: people and scripts look for it.
        println!("peerloom-server listening on http://{address}/");
        let _ = std::io::stdout().flush();
        peerloom_server::run(listener, config, asked_to_stop()).await;
        ExitCode::SUCCESS
    })
}

fn start_log(format: LogFormat, level: tracing::level_filters::LevelFilter) {
    let log = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_target(false);
    match format {
        LogFormat::Text => log
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .init(),
        LogFormat::Json => log.json().init(),
    }
}

async fn asked_to_stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut terminate), Ok(mut interrupt)) =
            (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
    #[cfg(not(unix))]
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
