//! A service whose functions are the public methods of one object.

use daffi::prelude::*;

struct TextProcessor {
    separator: String,
}

#[callback]
impl TextProcessor {
    pub fn upper(&self, text: &str) -> String {
        text.to_uppercase()
    }

    pub fn set_separator(&mut self, separator: String) {
        self.separator = separator;
    }

    pub fn join_words(&self, words: Vec<String>) -> String {
        words.join(&self.separator)
    }

    #[local]
    pub fn reset(&mut self) {
        self.separator = " ".into();
    }

    pub fn _private(&self) -> &'static str {
        "never exported"
    }
}

#[tokio::main]
async fn main() -> Result<(), daffi_examples::Problem> {
    let [address] = daffi_examples::options([("listen", "tcp://127.0.0.1:5002")]);
    let mut processor = TextProcessor { separator: String::new() };
    processor.reset();
    let service = Service::builder("text-service").callbacks(processor).bind(&address).await?;
    println!("listening on {}", service.endpoints()[0]);
    service.join().await?;
    Ok(())
}
