//! What each command does. Those that build need no runtime; `dev` and `store` bring their own.

pub(crate) mod bench;
pub(crate) mod build;
pub(crate) mod call;
mod catalog;
pub(crate) mod chat;
pub(crate) mod cluster;
pub(crate) mod dead_letters;
pub(crate) mod deploy;
pub(crate) mod dev;
pub(crate) mod list;
pub(crate) mod listen;
pub(crate) mod logs;
pub(crate) mod new;
pub(crate) mod object;
pub(crate) mod reminders;
pub(crate) mod store;

use crate::{
    client::Client,
    command_line::{Command, CommandLine, Global},
    failure::Result,
    output::Output,
};

/// Does what the command line says.
pub(crate) fn run(line: CommandLine, output: Output) -> Result<()> {
    let global = line.global;
    match line.command {
        Command::New(args) => new::run(&args, output),
        Command::Build(args) => build::run(&args, output),
        Command::Dev(args) => dev::run(args, output),
        Command::Store(args) => store::run(&args, output),
        command => tokio::runtime::Runtime::new()?.block_on(talk(command, &global, output)),
    }
}

/// The commands that talk to a cluster.
async fn talk(command: Command, global: &Global, output: Output) -> Result<()> {
    match command {
        Command::Bench(args) => bench::run(&args, global, output).await,
        Command::Listen(args) => listen::run(&args, global, output).await,
        Command::Chat(args) => chat::run(args, global).await,
        Command::Logs(args) => logs::run(&args, global, output).await,
        Command::Deploy(args) => deploy::run(&args, global, output).await,
        Command::Call(args) => call::run(&args, global, output).await,
        Command::List(args) => list::run(&args, &mut connect(global).await?, output).await,
        Command::Types => catalog::run(&mut connect(global).await?, output).await,
        Command::Create(args) => object::create(&args, &mut connect(global).await?, output).await,
        Command::Delete(args) => object::delete(&args, &mut connect(global).await?, output).await,
        Command::Get(args) => object::get(&args, &mut connect(global).await?, output).await,
        Command::DeadLetters(args) => dead_letters::run(&args, global, output).await,
        Command::Cluster(args) => cluster::run(&args, &mut connect(global).await?, output).await,
        Command::Reminders(args) => {
            reminders::run(&args, &mut connect(global).await?, output).await
        }
        Command::New(_) | Command::Build(_) | Command::Dev(_) | Command::Store(_) => {
            unreachable!("these talk to no cluster")
        }
    }
}

async fn connect(global: &Global) -> Result<Client> {
    Client::connect(&global.endpoint()?, global.token.as_deref()).await
}
