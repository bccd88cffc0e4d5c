use super::*;

#[test]
fn smoke() {
    let lua = Lua::new();
    let codec = Codec::new(&lua).unwrap();
    let event = crate::contract::event("messageCreate").unwrap();
    let table = codec
        .decode(&lua, br#"{"channelId":"c","message":{"messageId":9007199254740993,"sender":{"flags":3}},"x":[1,null,{"a":1e3}]}"#, event.payload)
        .unwrap();
    lua.globals().set("e", table).unwrap();
    lua.load(
        r#"
        assert(e.channelId == "c")
        assert(e.message.messageId == "9007199254740993")
        assert(e.message.sender.flags.bot == true and e.message.sender.flags.system == true)
        assert(e.x[3].a == 1000)
    "#,
    )
    .exec()
    .unwrap();
}
