//! Writes what a client has to know of each method, as impls of the traits in `src/rpc.rs`:
//!
//! ```text
//! impl crate::rpc::Rpc for clinicd::room::v1::ListThingsRequest {
//!     type Response = clinicd::room::v1::ListThingsResponse;
//!     const PATH: &'static str = "/clinicd.room.v1.RoomService/ListThings";
//! }
//! impl crate::rpc::Unary for clinicd::room::v1::ListThingsRequest {}
//! ```

use prost_reflect::{
    DescriptorPool, FieldDescriptor, MessageDescriptor, MethodDescriptor, ServiceDescriptor,
};

use super::names;

/// Where the generated code finds the traits.
const RPC: &str = "crate::rpc";

/// The impls for the methods of all services.
pub fn write(pool: &DescriptorPool) -> String {
    let services: Vec<_> = pool.services().collect();
    services.iter().flat_map(ServiceDescriptor::methods).map(|method| of_method(&method)).collect()
}

fn of_method(method: &MethodDescriptor) -> String {
    let (input, output) = (method.input(), method.output());
    let (request, response) = (names::message(&input), names::message(&output));
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let request_id = if input.get_field_by_name("request_id").is_some() {
        "    fn request_id_mut(&mut self) -> Option<&mut String> {\n        \
         Some(&mut self.request_id)\n    }\n"
    } else {
        ""
    };
    let rpc = format!(
        "impl {RPC}::Rpc for {request} {{\n    type Response = {response};\n    \
         const PATH: &'static str = {path:?};\n{request_id}}}\n"
    );
    let shape = match (method.is_client_streaming(), method.is_server_streaming()) {
        (false, false) => format!("impl {RPC}::Unary for {request} {{}}\n"),
        (false, true) => format!("impl {RPC}::ServerStream for {request} {{}}\n"),
        (true, _) => String::new(),
    };
    rpc + &shape + &pages(&input, &output).unwrap_or_default() + "\n"
}

/// A list: the request has a `page_token`, the response a `next_page_token` and one repeated
/// message.
fn pages(input: &MessageDescriptor, output: &MessageDescriptor) -> Option<String> {
    input.get_field_by_name("page_token")?;
    output.get_field_by_name("next_page_token")?;
    let items: FieldDescriptor = output.fields().find(FieldDescriptor::is_list)?;
    let item = names::message(items.kind().as_message()?);
    let (request, field) = (names::message(input), names::snake(items.name()));
    Some(format!(
        "impl {RPC}::Paged for {request} {{\n    type Item = {item};\n    \
         fn page_token_mut(&mut self) -> &mut String {{\n        &mut self.page_token\n    }}\n    \
         fn take_page(response: Self::Response) -> (Vec<Self::Item>, String) {{\n        \
         (response.{field}, response.next_page_token)\n    }}\n}}\n"
    ))
}
