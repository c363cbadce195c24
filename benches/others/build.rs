//! The gRPC service of `src/tonic.rs`, described here because that needs no protobuf compiler.

use tonic_build::manual::{Builder, Method, Service};

fn main() {
    let echo = Method::builder()
        .name("echo")
        .route_name("Echo")
        .input_type("crate::tonic::Payload")
        .output_type("crate::tonic::Payload")
        .codec_path("tonic_prost::ProstCodec")
        .build();
    let repeat = Method::builder()
        .name("repeat")
        .route_name("Repeat")
        .input_type("crate::tonic::Payload")
        .output_type("crate::tonic::Payload")
        .codec_path("tonic_prost::ProstCodec")
        .server_streaming()
        .build();
    let rows = Method::builder()
        .name("rows")
        .route_name("Rows")
        .input_type("crate::tonic::Payload")
        .output_type("crate::tonic::Row")
        .codec_path("tonic_prost::ProstCodec")
        .server_streaming()
        .build();
    let service = Service::builder().name("Echo").package("bench").method(echo).method(repeat).method(rows).build();
    Builder::new().compile(&[service]);
}
