//! A chat both ways: each guest says lines as they come to mind, and hears those of the others,
//! through a router. Who leaves is noticed.

use daffi::prelude::*;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use tokio::sync::broadcast;

/// A room: what is said in it, and what a guest hears of the others.
struct Room {
    said: broadcast::Sender<(String, String)>,
}

#[callback]
impl Room {
    /// Takes the lines of a guest and gives those of the others, for as long as the guest stays.
    pub fn enter(&self, ctx: Context, lines: Incoming<String>) -> impl Stream<Item = String> + use<> {
        let (me, said, heard) = (ctx.caller().to_owned(), self.said.clone(), self.said.subscribe());
        let tell = |who: &str, line: &str| drop(said.send((who.to_owned(), line.to_owned())));
        tell(&me, "enters");
        let (speaker, room) = (me.clone(), said);
        // The guest's own lines go to the room; the last thing that comes of them is that it
        // leaves.
        let speaking = lines
            .map(move |line| line.unwrap_or_else(|_| "is cut off".to_owned()))
            .chain(stream::iter(["leaves".to_owned()]))
            .map(move |line| drop(room.send((speaker.clone(), line))));
        let hearing = stream::unfold(heard, |mut heard| async move {
            loop {
                match heard.recv().await {
                    Ok(line) => return Some((line, heard)),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        });
        let myself = me.clone();
        let others = hearing.filter_map(move |(who, line)| {
            let line = (who != myself).then(|| format!("{who}: {line}"));
            async move { line }
        });
        let both = stream::select(speaking.map(|()| None), others.map(Some)).filter_map(|line| async move { line });
        stream::iter([format!("welcome, {me}")]).chain(both)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [] = daffi_examples::options([]);
    let router = Router::builder("router").bind("tcp://127.0.0.1:0").await?;
    let at = router.endpoints()[0].as_str();
    let room = Room { said: broadcast::channel(64).0 };
    let _room = Client::builder("room").callbacks(room).connect(at).await?;

    let ada = Client::builder("ada").connect(at).await?;
    let (mut ada_says, mut ada_hears) = ada.rpc().duplex::<&str, String>("enter", ()).await?;
    println!("ada hears {:?}", ada_hears.try_next().await?.unwrap_or_default());
    let bob = Client::builder("bob").connect(at).await?;
    let (mut bob_says, mut bob_hears) = bob.rpc().duplex::<&str, String>("enter", ()).await?;
    println!("bob hears {:?}", bob_hears.try_next().await?.unwrap_or_default());
    println!("ada hears {:?}", ada_hears.try_next().await?.unwrap_or_default());

    bob_says.send("good morning").await?;
    println!("ada hears {:?}", ada_hears.try_next().await?.unwrap_or_default());
    ada_says.send("good morning, bob").await?;
    println!("bob hears {:?}", bob_hears.try_next().await?.unwrap_or_default());

    bob_says.finish();
    println!("ada hears {:?}", ada_hears.try_next().await?.unwrap_or_default());
    Ok(())
}
