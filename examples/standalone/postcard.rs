//! Postcard: the smallest form, for types that both ends know. Between programs of this project
//! only.

use daffi::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
enum Shape {
    Circle { radius: f64 },
    Rectangle { width: f64, height: f64 },
}

#[callback]
fn area(shape: Shape) -> f64 {
    match shape {
        Shape::Circle { radius } => radius * radius * std::f64::consts::PI,
        Shape::Rectangle { width, height } => width * height,
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [] = daffi_examples::options([]);
    let service = Service::builder("shape-service").callbacks(callbacks![area]).bind("tcp://127.0.0.1:0").await?;
    let client = Client::builder("shape-client").connect(service.endpoints()[0].as_str()).await?;

    let rpc = client.rpc().serde(FormatId::POSTCARD);
    let circle: f64 = rpc.call("area", (Shape::Circle { radius: 2.0 },)).await?;
    println!("circle: {circle:.3}");
    let rectangle: f64 = rpc.call("area", (Shape::Rectangle { width: 3.0, height: 4.0 },)).await?;
    println!("rectangle: {rectangle:.3}");
    Ok(())
}
