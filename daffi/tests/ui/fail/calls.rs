use daffi::{CallError, Client, args};

async fn nothing_says_what_the_result_is(client: Client) -> Result<(), CallError> {
    client.rpc().call("add", (1, 2)).await?;
    Ok(())
}

async fn a_borrowed_result(client: Client) -> Result<(), CallError> {
    let _text: &str = client.rpc().call("name", ()).await?;
    Ok(())
}

async fn not_a_list(client: Client) -> Result<(), CallError> {
    client.rpc().run("double", 1).await
}

async fn keywords_first(client: Client) -> Result<(), CallError> {
    client.rpc().run("add", args![a = 1, 2]).await
}

fn main() {}
