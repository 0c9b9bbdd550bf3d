//! Values that break the contract, each in one way of its own: all of them must come back as the
//! dead letter `invalid`. A list, not a fuzzer: what is here is what real publishers have sent.

/// Values that are `invalid`. `@` stands for the merchant's id, `#` for a number not used before.
pub(super) const MALFORMED: &[&[u8]] = &[
    // Not a JSON object in UTF-8.
    b"",
    b"null",
    b"[]",
    b"\"order.cancelled\"",
    b"\x00\x9f\x92\x96\xff\xfe",
    b"\x00\x00\x00\x00\x07\x0aO-#\x10\x01",
    b"{\"type\":\"order.cancelled\",\"merchant_id\":@,\"order_id\":\"O-#\"",
    b"{\"type\":\"order.cancelled\",\"merchant_id\":@,\"order_id\":\"O-#\"}}",
    b"{\"type\":\"order.cancelled\",\"merchant_id\":@,\"order_id\":\"O-#\"} {}",
    b"{\"type\":\"order.cancelled\",\"merchant_id\":@,\"order_id\":\"O-#\",}",
    b"{'type':'order.cancelled','merchant_id':@,'order_id':'O-#'}",
    b" {\"type\":\"order.cancelled\",\"merchant_id\":@,\"order_id\":\"O-#\"}",
    b"\xef\xbb\xbf{\"type\":\"order.cancelled\",\"merchant_id\":@,\"order_id\":\"O-#\"}",
    b"{\"type\":\"order.cancelled\",\"merchant_id\":@,\"order_id\":\"O-#\",\"note\":\"\xc3\x28\"}",
    b"{\"type\":\"order.cancelled\",\"merchant_id\":@,\"order_id\":\"O-#\",\"note\":\"\\ud83c\"}",
    b"{\"type\":\"order.cancelled\",\"merchant_id\":@,\"order_id\":\"O-#\",\"note\":\"a\tb\"}",
    b"{\"type\":\"order.cancelled\",\"merchant_id\":@,\"order_id\":\"O-#\",\"note\":NaN}",
    b"{\"type\":\"order.cancelled\",\"merchant_id\":@,\"order_id\":\"O-#\",\"note\":\
      [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}",
    // Type and ids.
    b"{\"merchant_id\":@,\"order_id\":\"O-#\"}",
    b"{\"type\":\"order.shipped\",\"merchant_id\":@,\"order_id\":\"O-#\"}",
    b"{\"type\":7,\"merchant_id\":@,\"order_id\":\"O-#\"}",
    b"{\"type\":\"order.cancelled\",\"order_id\":\"O-#\"}",
    b"{\"type\":\"order.cancelled\",\"merchant_id\":null,\"order_id\":\"O-#\"}",
    b"{\"type\":\"order.cancelled\",\"merchant_id\":-1,\"order_id\":\"O-#\"}",
    b"{\"type\":\"order.cancelled\",\"merchant_id\":@.0,\"order_id\":\"O-#\"}",
    b"{\"type\":\"order.cancelled\",\"merchant_id\":1e3,\"order_id\":\"O-#\"}",
    b"{\"type\":\"order.cancelled\",\"merchant_id\":18446744073709551616,\"order_id\":\"O-#\"}",
    b"{\"type\":\"order.cancelled\",\"merchant_id\":\"\",\"order_id\":\"O-#\"}",
    b"{\"type\":\"order.cancelled\",\"merchant_id\":\"+@\",\"order_id\":\"O-#\"}",
    b"{\"type\":\"order.cancelled\",\"merchant_id\":@}",
    b"{\"type\":\"order.cancelled\",\"merchant_id\":@,\"order_id\":#}",
    b"{\"type\":\"order.cancelled\",\"merchant_id\":@,\"order_id\":\"\"}",
    b"{\"type\":\"order.cancelled\",\"merchant_id\":@,\"order_id\":\"O #\"}",
    b"{\"type\":\"order.cancelled\",\"merchant_id\":@,\"order_id\":\"O-#\",\"order_id\":\"O-#\"}",
    b"{\"type\":\"order.cancelled\",\"merchant_id\":@,\
      \"order_id\":\"O-11111111111111111111111111111111111111\
      #\"}",
    // Orders.
    b"{\"type\":\"order.placed\",\"merchant_id\":@}",
    b"{\"type\":\"order.placed\",\"merchant_id\":@,\"order_id\":\"B-#\",\"buyer_id\":7,\
      \"placed_at\":1,\"lines\":[]}",
    b"{\"type\":\"order.placed\",\"merchant_id\":@,\"order_id\":\"B-#\",\"buyer_id\":7,\
      \"placed_at\":1,\"lines\":[null]}",
    b"{\"type\":\"order.placed\",\"merchant_id\":@,\"order_id\":\"B-#\",\"buyer_id\":7,\
      \"placed_at\":1,\"lines\":{\"sku\":1,\"qty\":1,\"unit_price\":1}}",
    b"{\"type\":\"order.placed\",\"merchant_id\":@,\"order_id\":\"B-#\",\"buyer_id\":7,\
      \"placed_at\":1,\"lines\":[{\"sku\":1,\"qty\":0,\"unit_price\":1}]}",
    b"{\"type\":\"order.placed\",\"merchant_id\":@,\"order_id\":\"B-#\",\"buyer_id\":7,\
      \"placed_at\":1,\"lines\":[{\"sku\":1,\"qty\":1000001,\"unit_price\":1}]}",
    b"{\"type\":\"order.placed\",\"merchant_id\":@,\"order_id\":\"B-#\",\"buyer_id\":7,\
      \"placed_at\":1,\"lines\":[{\"sku\":1,\"qty\":1.0,\"unit_price\":1}]}",
    b"{\"type\":\"order.placed\",\"merchant_id\":@,\"order_id\":\"B-#\",\"buyer_id\":7,\
      \"placed_at\":1,\"lines\":[{\"sku\":1,\"qty\":\"2\",\"unit_price\":1}]}",
    b"{\"type\":\"order.placed\",\"merchant_id\":@,\"order_id\":\"B-#\",\"buyer_id\":7,\
      \"placed_at\":1,\"lines\":[{\"sku\":1,\"qty\":1,\"unit_price\":-100}]}",
    b"{\"type\":\"order.placed\",\"merchant_id\":@,\"order_id\":\"B-#\",\"buyer_id\":7,\
      \"placed_at\":1,\"lines\":[{\"sku\":1,\"qty\":1,\"unit_price\":19.99}]}",
    b"{\"type\":\"order.placed\",\"merchant_id\":@,\"order_id\":\"B-#\",\"buyer_id\":7,\
      \"placed_at\":1,\"lines\":[{\"sku\":1,\"qty\":1000,\"unit_price\":1000000000000000}]}",
    b"{\"type\":\"order.placed\",\"merchant_id\":@,\"order_id\":\"B-#\",\"buyer_id\":7,\
      \"placed_at\":\"2025-11-11T00:00:00Z\",\"lines\":[{\"sku\":1,\"qty\":1,\"unit_price\":1}]}",
    b"{\"type\":\"order.placed\",\"merchant_id\":@,\"order_id\":\"B-#\",\"buyer_id\":7,\
      \"placed_at\":1000000000000001,\"lines\":[{\"sku\":1,\"qty\":1,\"unit_price\":1}]}",
    b"{\"type\":\"order.placed\",\"merchant_id\":@,\"order_id\":\"B-#\",\"buyer_id\":7,\
      \"placed_at\":1,\"lines\":[{\"sku\":1,\"qty\":1,\"unit_price\":1}],\"discount\":2}",
    b"{\"type\":\"order.placed\",\"merchant_id\":@,\"order_id\":\"B-#\",\"buyer_id\":7,\
      \"placed_at\":1,\"lines\":[{\"sku\":1,\"qty\":1,\"unit_price\":1}],\"discount\":-0}",
    b"{\"type\":\"order.placed\",\"merchant_id\":@,\"order_id\":\"B-#\",\"buyer_id\":7,\
      \"placed_at\":1,\"lines\":[{\"sku\":1,\"qty\":1,\"unit_price\":1}],\"region\":\"3301\"}",
    b"{\"type\":\"order.placed\",\"merchant_id\":@,\"order_id\":\"B-#\",\"buyer_id\":7,\
      \"placed_at\":1,\"lines\":[{\"sku\":1,\"qty\":1,\"unit_price\":1}],\"region\":330106}",
    b"{\"type\":\"order.placed\",\"merchant_id\":@,\"order_id\":\"B-#\",\"buyer_id\":7,\
      \"placed_at\":1,\"lines\":[{\"sku\":1,\"qty\":1,\"unit_price\":1}],\"area\":\"suburban\"}",
    b"{\"type\":\"order.placed\",\"merchant_id\":@,\"order_id\":\"B-#\",\"buyer_id\":7,\
      \"placed_at\":1,\"lines\":[{\"sku\":1,\"qty\":1,\"unit_price\":1}],\
      \"fulfilment\":{\"mode\":\"pickup\"}}",
    b"{\"type\":\"order.placed\",\"merchant_id\":@,\"order_id\":\"B-#\",\"buyer_id\":7,\
      \"placed_at\":1,\"lines\":[{\"sku\":1,\"qty\":1,\"unit_price\":1}],\"settle\":\"never\"}",
    b"{\"type\":\"order.placed\",\"merchant_id\":@,\"order_id\":\"B-#\",\"buyer_id\":7,\
      \"placed_at\":1,\"lines\":[{\"sku\":1,\"qty\":1,\"unit_price\":9}],\
      \"presale\":{\"deposit\":9,\"balance_due\":5}}",
    b"{\"type\":\"order.placed\",\"merchant_id\":@,\"order_id\":\"B-#\",\"buyer_id\":7,\
      \"placed_at\":1,\"lines\":[{\"sku\":1,\"qty\":1,\"unit_price\":9}],\
      \"presale\":{\"deposit\":1}}",
    b"{\"type\":\"order.placed\",\"merchant_id\":@,\"order_id\":\"B-#\",\"buyer_id\":7,\
      \"placed_at\":1,\"lines\":[{\"sku\":1,\"qty\":1,\"unit_price\":9}],\
      \"settle\":\"on_placement\",\"presale\":{\"deposit\":1,\"balance_due\":5}}",
    // Payments and refunds.
    b"{\"type\":\"order.paid\",\"merchant_id\":@,\"payment_id\":\"B-#\",\"order_id\":\"O-#\",\
      \"amount\":-1,\"paid_at\":1}",
    b"{\"type\":\"order.paid\",\"merchant_id\":@,\"payment_id\":\"B-#\",\"order_id\":\"O-#\",\
      \"amount\":1000000000000001,\"paid_at\":1}",
    b"{\"type\":\"order.paid\",\"merchant_id\":@,\"payment_id\":\"B-#\",\"order_id\":\"O-#\",\
      \"amount\":1,\"paid_at\":1,\"part\":\"half\"}",
    b"{\"type\":\"order.refunded\",\"merchant_id\":@,\"refund_id\":\"B-#\",\"order_id\":\"O-#\",\
      \"refunded_at\":1,\"amount\":1,\"lines\":[],\"restock\":\"yes\"}",
    b"{\"type\":\"order.refunded\",\"merchant_id\":@,\"refund_id\":\"B-#\",\"order_id\":\"O-#\",\
      \"refunded_at\":1,\"amount\":1,\"lines\":[{\"sku\":1,\"qty\":1}]}",
    // Stock and catalogue.
    b"{\"type\":\"stock.received\",\"merchant_id\":@,\"receipt_id\":\"B-#\",\"received_at\":1,\
      \"sku\":1,\"qty\":0}",
    b"{\"type\":\"stock.received\",\"merchant_id\":@,\"receipt_id\":\"B-#\",\"received_at\":1,\
      \"sku\":1,\"qty\":1000000001}",
    b"{\"type\":\"stock.received\",\"merchant_id\":@,\"receipt_id\":\"B-#\",\"received_at\":1,\
      \"sku\":1,\"qty\":1,\"location\":4294967296}",
    b"{\"type\":\"stock.moved\",\"merchant_id\":@,\"receipt_id\":\"B-#\",\"received_at\":1,\
      \"sku\":1,\"qty\":1,\"from\":1,\"to\":1}",
    b"{\"type\":\"stock.moved\",\"merchant_id\":@,\"receipt_id\":\"B-#\",\"received_at\":1,\
      \"sku\":1,\"qty\":-1,\"from\":1,\"to\":0}",
    b"{\"type\":\"sku.listed\",\"merchant_id\":@,\"sku\":1,\"category\":\"Agri Fruit\"}",
    b"{\"type\":\"sku.listed\",\"merchant_id\":@,\"sku\":1,\"per_buyer_limit\":-1}",
    b"{\"type\":\"sku.withdrawn\",\"merchant_id\":@,\"sku\":true}",
    b"{\"type\":\"location.opened\",\"merchant_id\":@,\"location\":0,\"kind\":\"store\"}",
    b"{\"type\":\"location.opened\",\"merchant_id\":@,\"location\":9,\"kind\":\"kiosk\"}",
    b"{\"type\":\"location.opened\",\"merchant_id\":@,\"location\":9,\"kind\":\"store\",\
      \"priority\":65536}",
    b"{\"type\":\"location.closed\",\"merchant_id\":@,\"location\":\"nine\"}",
];

/// Writes one of [`MALFORMED`].
pub(super) fn write_malformed(template: &[u8], merchant: u64, fresh: u64, out: &mut Vec<u8>) {
    for &byte in template {
        match byte {
            b'@' => out.extend_from_slice(itoa::Buffer::new().format(merchant).as_bytes()),
            b'#' => out.extend_from_slice(itoa::Buffer::new().format(fresh).as_bytes()),
            _ => out.push(byte),
        }
    }
}
