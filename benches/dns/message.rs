//! As much of DNS (RFC 1035) as the client needs.

/// A standard query for the address of a name, recursion desired; the requester writes the id over the dots.
pub(crate) fn query(name: &str) -> Vec<u8> {
    let mut query = b"..\x01\0\0\x01\0\0\0\0\0\0".to_vec();
    for label in name.trim_end_matches('.').split('.') {
        assert!((1..=63).contains(&label.len()), "{name:?} is no name");
        query.push(label.len().try_into().unwrap());
        query.extend(label.bytes());
    }
    // The end of the name, then type A and class IN.
    query.extend(b"\0\0\x01\0\x01");
    query
}

/// Whether a datagram is the response to the question of this query, which stands behind the header and is all that
/// the query has (RFC 5452, section 9.1).
pub(crate) fn is_response(query: &[u8], datagram: &[u8]) -> bool {
    datagram.get(2).is_some_and(|flags| flags & 0x80 != 0)
        && datagram.get(HEADER..).zip(query.get(HEADER..)).is_some_and(|(rest, question)| rest.starts_with(question))
}

/// Whether a reply has an answer to the question of this query, and no error code. It does without `is_response`, so
/// that what that lets pass by mistake is noticed.
pub(crate) fn has_answer(query: &[u8], reply: &[u8]) -> bool {
    let is_success = reply.get(3).is_some_and(|flags| flags & 0x0f == 0);
    let has_records = reply.get(6..8).is_some_and(|count| count != [0, 0]);
    is_success && has_records && reply.get(HEADER..query.len()) == query.get(HEADER..)
}

/// The response that gives an address.
pub(crate) fn answer(query: &[u8]) -> Vec<u8> {
    let mut answer = query.to_vec();
    (answer[2], answer[3], answer[7]) = (0x85, 0, 1);
    // The name is the question's; type A, class IN, 60 seconds, 4 bytes.
    answer.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x07");
    answer
}

const HEADER: usize = 12;
