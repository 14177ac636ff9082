//! What a generic client has to know of each method. The impls are generated from the protos, so
//! a new method needs no line of code in a client.

use prost::Message;

use crate::check::Checked;

/// The request of one method; every method has a request type of its own.
pub trait Rpc: Message + Checked + Clone + Default + 'static {
    /// What the method answers with.
    type Response: Message + Checked + Default + 'static;

    /// The method's path in HTTP/2: `/clinicd.room.v1.RoomService/Method`.
    const PATH: &'static str;

    /// The id that makes the call repeatable; none in a method that is so by itself.
    fn request_id_mut(&mut self) -> Option<&mut String> {
        None
    }
}

/// One answer for one request.
pub trait Unary: Rpc {}

/// A stream of answers for one request.
pub trait ServerStream: Rpc {}

/// A list that comes in pages.
pub trait Paged: Unary {
    /// What it lists.
    type Item: Message;

    /// Where the page begins.
    fn page_token_mut(&mut self) -> &mut String;

    /// The items of a page, and the token of the next one: empty on the last.
    fn take_page(response: Self::Response) -> (Vec<Self::Item>, String);
}
