"""What a payload of device-based discovery has to obey: Home Assistant's components/mqtt/schemas.py and platforms."""

TOP = {"dev", "o", "avty", "avty_mode", "cmps"}
DEVICE = {"ids", "name", "mf", "mdl", "sw"}
SHARED = {"p", "uniq_id", "name"}
PLATFORMS = {  # beside SHARED: what must be there, and what may
    "sensor": (set(), {"stat_t", "val_tpl", "dev_cla", "unit_of_meas", "stat_cla", "ent_cat"}),
    "binary_sensor": (set(), {"stat_t", "val_tpl", "dev_cla", "ent_cat"}),
    "switch": ({"cmd_t"}, {"stat_t", "val_tpl"}),
    "light": ({"cmd_t"}, {"stat_t", "stat_val_tpl"}),
    "number": ({"cmd_t", "min", "max", "step", "mode"}, {"stat_t", "val_tpl", "unit_of_meas"}),
    "select": ({"cmd_t", "ops"}, {"stat_t", "val_tpl"}),
    "text": ({"cmd_t", "max"}, {"stat_t", "val_tpl", "ptrn"}),
}


def check(payload: dict) -> None:
    """Fails with what is against the rules."""
    assert set(payload) == TOP
    assert set(payload["dev"]) <= DEVICE
    assert payload["dev"]["ids"], "a device needs identifiers"
    assert payload["o"]["name"], "an origin needs its name"
    assert all(each["t"] for each in payload["avty"])
    ids = [each["uniq_id"] for each in payload["cmps"].values() if len(each) > 1]
    assert len(set(ids)) == len(ids)
    for entity in payload["cmps"].values():
        if set(entity) == {"p"}:  # it is removed
            continue
        needed, allowed = PLATFORMS[entity["p"]]
        assert needed | SHARED <= set(entity) <= needed | SHARED | allowed
        if "stat_cla" in entity:  # sensor/__init__.py: neither date nor text is measured
            assert entity.get("dev_cla") not in ("timestamp", "date", "enum")
        if entity["p"] == "number":
            assert entity["min"] < entity["max"]
            assert entity["step"] >= 0.001
        if entity["p"] == "text":
            assert entity["max"] <= 255
