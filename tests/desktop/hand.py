#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The eyes and the hand of one person at one desk: AT-SPI to find and judge, XTest to act, D-Bus for panel and alerts.

A process of its own, because libatspi knows one accessibility bus and every desk of a test has its own. Requests come as lines of JSON
on standard input ({"do": "find", ...}), answers go to standard output ({"ok": ...} or {"error": "..."}). Run with the system's
Python, which has gi. It also is the panel (org.kde.StatusNotifierWatcher) and the server of notifications (org.freedesktop.Notifications)
of that desk, so that a test decides when they are there and sees what they are told.
"""
import json
import os
import re
import subprocess
import sys
import time
import warnings

import gi

warnings.simplefilter("ignore")
gi.require_version("Atspi", "2.0")
from gi.repository import Atspi, Gio, GLib  # noqa: E402

APP = "org.beckon.Beckon"
NAMES = ("beckon", APP)
FRAMES = ("frame", "dialog", "window")  # an alert is part of one
context = GLib.MainContext.default()
bus = Gio.bus_get_sync(Gio.BusType.SESSION)


def spin(seconds=0.02):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        while context.iteration(False):
            pass
        time.sleep(0.004)


# ---- what can be seen

def application():
    desktop = Atspi.get_desktop(0)
    for i in range(desktop.get_child_count()):
        child = desktop.get_child_at_index(i)
        if child and (child.get_name() or "").lower() in [n.lower() for n in NAMES]:
            # What GTK 4.8 says of a window before it is on the screen (a "filler") would stay in the cache.
            child.set_cache_mask(Atspi.Cache.NONE)
            child.clear_cache()
            return child
    return None


def walk(node, depth=0):
    if node is None or depth > 60:
        return
    yield node
    try:
        count = node.get_child_count()
    except GLib.Error:
        return
    for i in range(count):
        try:
            yield from walk(node.get_child_at_index(i), depth + 1)
        except GLib.Error:
            pass


def frame_of(node):
    while node and node.get_role_name() not in FRAMES:
        node = node.get_parent()
    return node


def extents(node):
    return node.get_extents(Atspi.CoordType.WINDOW)


def is_seen(node):
    """GTK 4.8 gives SHOWING to windows only, and not to dialogs: seen is what has a size in the tree of a window that shows."""
    try:
        place = extents(node)
        frame = frame_of(node)
        shows = frame and (frame.get_role_name() in ("dialog", "alert") or frame.get_state_set().contains(Atspi.StateType.SHOWING))
        return bool(shows) and place.width > 0 and place.height > 0
    except GLib.Error:
        return False


def name_of(node):
    """Without mnemonics; GTK 4.8 calls a labelled button by its label twice."""
    name = (node.get_name() or "").replace("_", "")
    half = len(name) // 2
    if len(name) % 2 and name[half] == " " and name[:half] == name[half + 1:]:
        name = name[:half]
    return name


def text_of(node):
    try:
        if node.get_text_iface():
            return Atspi.Text.get_text(node, 0, -1)
    except (GLib.Error, TypeError):
        pass
    return ""


def fits(node, role, name, has, pattern, text):
    if role and node.get_role_name() != role:
        return False
    if name is not None and name_of(node) != name:
        return False
    if has is not None and has not in name_of(node) and has not in text_of(node):
        return False
    if pattern is not None and not re.search(pattern, name_of(node)) and not re.search(pattern, text_of(node)):
        return False
    if text is not None and text_of(node) != text:
        return False
    return True


def find(role=None, name=None, has=None, pattern=None, text=None, within=None, index=0, seen=True):
    """within: part of the name of the window."""
    app = application()
    if not app:
        return None
    for node in walk(app):
        try:
            if not fits(node, role, name, has, pattern, text) or seen and not is_seen(node):
                continue
            if within is not None:
                frame = frame_of(node)
                if not frame or within not in (frame.get_name() or ""):
                    continue
            if index:
                index -= 1
                continue
            return node
        except GLib.Error:
            continue
    return None


def described(node):
    if node is None:
        return None
    states = node.get_state_set()
    place = extents(node)
    return {"role": node.get_role_name(), "name": name_of(node), "text": text_of(node),
            "states": sorted(s.value_nick for s in states.get_states()), "place": [place.x, place.y, place.width, place.height],
            "window": (frame_of(node).get_name() if frame_of(node) else None)}


def tree():
    lines = []

    def add(node, depth):
        try:
            place = f" ({'%d,%d %dx%d' % tuple(getattr(extents(node), k) for k in ('x', 'y', 'width', 'height'))})" if is_seen(node) else " (hidden)"
        except (GLib.Error, AttributeError):
            place = ""
        try:
            text = text_of(node)
            lines.append("  " * depth + f"{node.get_role_name()} {name_of(node)!r}" + (f" = {text!r}" if text and text != name_of(node) else "") + place)
            for i in range(node.get_child_count()):
                add(node.get_child_at_index(i), depth + 1)
        except (GLib.Error, AttributeError) as error:
            lines.append("  " * depth + f"({error})")
    app = application()
    if app:
        add(app, 0)
    return lines


# ---- what can be done

def xdo(*args):
    subprocess.run(["xdotool", *map(str, args)], check=True, capture_output=True)


def window_id(title):
    # A search gives up when any window goes while it looks.
    end = time.monotonic() + 5
    while True:
        found = subprocess.run(["xdotool", "search", "--onlyvisible", "--name", "^" + re.escape(title) + "$"], capture_output=True, text=True)
        ids = found.stdout.split()
        if ids:
            return ids[-1]
        if time.monotonic() > end:
            raise LookupError(f"no window called {title!r}")
        spin(0.1)


def press(node, name=None):
    """An action by its name, on the node or the button inside it."""
    wanted = (name,) if name else ("click", "activate", "press", "menu.popup")
    for candidate in walk(node):
        for i in range(candidate.get_n_actions()):
            if Atspi.Action.get_action_name(candidate, i) in wanted:
                return bool(Atspi.Action.do_action(candidate, i))
    return False


def point(node, button=1, double=False, x=0.5, y=0.5):
    frame = frame_of(node)
    place, whole = extents(node), extents(frame)
    window = window_id(frame.get_name())
    shell = subprocess.run(["xdotool", "getwindowgeometry", "--shell", window], capture_output=True, text=True, check=True).stdout
    width, height = (int(re.search(rf"{key}=(\d+)", shell)[1]) for key in ("WIDTH", "HEIGHT"))
    margin_x = (width - whole.width) // 2  # the shadow GTK draws itself
    # Shadows below are deeper than above; libadwaita's differ by the height's rest.
    margin_y = margin_x if height - whole.height >= 2 * margin_x else (height - whole.height) // 2
    xdo("mousemove", "--window", window, margin_x + place.x + int(place.width * x), margin_y + place.y + int(place.height * y))
    if double:
        xdo("click", "--repeat", "2", "--delay", "60", button)
    else:
        xdo("click", button)


# ---- the panel

ITEM, MENU = "org.kde.StatusNotifierItem", "com.canonical.dbusmenu"
WATCHER = Gio.DBusNodeInfo.new_for_xml("""<node><interface name='org.kde.StatusNotifierWatcher'>
<method name='RegisterStatusNotifierItem'><arg type='s' direction='in'/></method>
<method name='RegisterStatusNotifierHost'><arg type='s' direction='in'/></method>
<property name='RegisteredStatusNotifierItems' type='as' access='read'/>
<property name='IsStatusNotifierHostRegistered' type='b' access='read'/>
<property name='ProtocolVersion' type='i' access='read'/>
<signal name='StatusNotifierHostRegistered'/></interface></node>""").interfaces[0]
items, panel = [], {}


def panel_called(_c, sender, _p, _i, method, args, invocation):
    if method == "RegisterStatusNotifierItem":
        items.append(sender)
    invocation.return_value(None)


def panel_property(_c, _s, _p, _i, name):
    return {"RegisteredStatusNotifierItems": GLib.Variant("as", items), "IsStatusNotifierHostRegistered": GLib.Variant("b", True),
            "ProtocolVersion": GLib.Variant("i", 0)}[name]


def call(dest, path, interface, method, args=None, patience=5000):
    box = []

    def back(connection, result):
        try:
            box.append(connection.call_finish(result).unpack())
        except GLib.Error as error:
            box.append(error)
    bus.call(dest, path, interface, method, args, None, 0, patience, None, back)
    while not box:
        spin(0.01)
    if isinstance(box[0], Exception):
        raise box[0]
    return box[0]


def menu_rows(node=None):
    """[(id, label, enabled, toggled, children)]"""
    if node is None:
        node = call(items[-1], tray_property("Menu"), MENU, "GetLayout", GLib.Variant("(iias)", (0, -1, [])))[1]
    return [{"id": i, "label": p.get("label", "").replace("_", ""), "enabled": p.get("enabled", True), "type": p.get("type", "standard"),
             "toggled": p.get("toggle-state", -1), "children": menu_rows((i, p, c))} for i, p, c in node[2]]


def tray_property(name):
    return call(items[-1], "/StatusNotifierItem", "org.freedesktop.DBus.Properties", "Get", GLib.Variant("(ss)", (ITEM, name)))[0]


# ---- the alerts

NOTIFICATIONS = Gio.DBusNodeInfo.new_for_xml("""<node><interface name='org.freedesktop.Notifications'>
<method name='Notify'><arg type='s' direction='in'/><arg type='u' direction='in'/><arg type='s' direction='in'/><arg type='s' direction='in'/>
<arg type='s' direction='in'/><arg type='as' direction='in'/><arg type='a{sv}' direction='in'/><arg type='i' direction='in'/>
<arg type='u' direction='out'/></method>
<method name='GetCapabilities'><arg type='as' direction='out'/></method>
<method name='GetServerInformation'><arg type='s' direction='out'/><arg type='s' direction='out'/><arg type='s' direction='out'/>
<arg type='s' direction='out'/></method>
<method name='CloseNotification'><arg type='u' direction='in'/></method>
<signal name='ActionInvoked'><arg type='u'/><arg type='s'/></signal>
<signal name='NotificationReplied'><arg type='u'/><arg type='s'/></signal>
<signal name='NotificationClosed'><arg type='u'/><arg type='u'/></signal></interface></node>""").interfaces[0]
alerts, closed = [], []
capabilities = ["actions", "body", "inline-reply", "sound"]


def alerts_called(_c, _sender, _p, _i, method, args, invocation):
    if method == "Notify":
        _app, replaces, icon, title, body, actions, hints, _timeout = args.unpack()
        number = replaces or max([a["id"] for a in alerts], default=0) + 1
        alerts.append({"id": number, "icon": icon, "title": title, "body": body, "actions": actions,
                       "hints": {k: v for k, v in hints.items() if isinstance(v, (str, int, bool, float))}})
        invocation.return_value(GLib.Variant("(u)", (number,)))
    elif method == "GetCapabilities":
        invocation.return_value(GLib.Variant("(as)", (capabilities,)))
    elif method == "GetServerInformation":
        invocation.return_value(GLib.Variant("(ssss)", ("test", "Beckon", "1", "1.2")))
    else:
        closed.append(args.unpack()[0])
        invocation.return_value(None)


def alert_signal(name, number, text):
    bus.emit_signal(None, "/org/freedesktop/Notifications", "org.freedesktop.Notifications", name,
                    GLib.Variant("(us)", (number, text)))
    spin(0.05)


# ---- the lock of the screen

SAVER = Gio.DBusNodeInfo.new_for_xml("""<node><interface name='org.gnome.ScreenSaver'>
<method name='GetActive'><arg type='b' direction='out'/></method>
<signal name='ActiveChanged'><arg type='b'/></signal></interface></node>""").interfaces[0]
saver = {"locked": False}


def saver_called(_c, _sender, _p, _i, _method, _args, invocation):
    invocation.return_value(GLib.Variant("(b)", (saver["locked"],)))


# ---- requests

def do_find(**which):
    try:
        return described(find(**which))
    except GLib.Error:
        return None  # it went while it was looked at


def do_press(action=None, **which):
    for _ in range(20):
        node = find(**which)
        if node is None:
            raise LookupError(f"nothing to press: {which}")
        if press(node, action):
            return described(node)
        if frame_of(node) is not None:
            point(node)
            return described(node)
        spin(0.05)  # it went while it was looked at: a list makes its rows anew
    raise LookupError(f"does not stay to be pressed: {which}")


def do_point(button=1, double=False, x=0.5, y=0.5, **which):
    node = find(**which)
    if node is None:
        raise LookupError(f"nothing to point at: {which}")
    point(node, button, double, x, y)
    return True


def do_focus(window):
    subprocess.run(["xdotool", "windowactivate", "--sync", window_id(window)], check=True, capture_output=True, timeout=10)
    return True


def do_type(text):
    # xdotool types what the keyboard map has; one line at a time keeps Return a key of its own.
    xdo("type", "--delay", 12, "--", text)
    return True


def do_key(*keys):
    xdo("key", "--delay", 40, *keys)
    return True


def do_scroll(steps, button=5):
    """The wheel, where the pointer is: the middle of the active window."""
    window = subprocess.run(["xdotool", "getactivewindow"], capture_output=True, text=True, check=True).stdout.strip()
    shell = subprocess.run(["xdotool", "getwindowgeometry", "--shell", window], capture_output=True, text=True, check=True).stdout
    width, height = (int(re.search(rf"{key}=(\d+)", shell)[1]) for key in ("WIDTH", "HEIGHT"))
    xdo("mousemove", "--window", window, width // 2, height * 2 // 3)
    xdo("click", "--repeat", steps, "--delay", 15, button)
    return True


def do_tops():
    """The windows as AT-SPI has them."""
    app = application()
    return [described(app.get_child_at_index(i)) for i in range(app.get_child_count())] if app else []


def do_point_away():
    xdo("mousemove", 0, 0)
    return True


def do_windows():
    done = subprocess.run(["wmctrl", "-l"], capture_output=True, text=True)
    return [" ".join(line.split()[3:]) for line in done.stdout.splitlines()]


def do_close(window):
    subprocess.run(["wmctrl", "-F", "-c", window], check=True)
    return True


def do_panel_appear():
    if not panel:
        panel["object"] = bus.register_object("/StatusNotifierWatcher", WATCHER, panel_called, panel_property, None)
        panel["name"] = Gio.bus_own_name_on_connection(bus, "org.kde.StatusNotifierWatcher", 0, None, None)
    return True


def do_panel_vanish():
    if panel:
        Gio.bus_unown_name(panel["name"])
        bus.unregister_object(panel["object"])
        panel.clear()
        items.clear()
    return True


def do_lock(locked):
    saver["locked"] = locked
    if "name" not in saver:
        saver["object"] = bus.register_object("/org/gnome/ScreenSaver", SAVER, saver_called, None, None)
        saver["name"] = Gio.bus_own_name_on_connection(bus, "org.gnome.ScreenSaver", 0, None, None)
    bus.emit_signal(None, "/org/gnome/ScreenSaver", "org.gnome.ScreenSaver", "ActiveChanged", GLib.Variant("(b)", (locked,)))
    spin(0.05)
    return True


def do_tray():
    if not items:
        return None
    return {name: tray_property(name) for name in ("IconName", "Status", "Title", "ItemIsMenu", "Category")} | {"ToolTip": tray_property("ToolTip")}


def do_tray_click():
    call(items[-1], "/StatusNotifierItem", ITEM, "Activate", GLib.Variant("(ii)", (0, 0)))
    return True


def do_tray_menu():
    return menu_rows()


def do_tray_choose(*labels):
    rows = menu_rows()
    for depth, label in enumerate(labels):
        row = next((r for r in flat(rows, depth < len(labels) - 1) if r["label"] == label), None)
        if row is None:
            raise LookupError(f"no {label!r} in the icon's menu: {[r['label'] for r in rows]}")
        if not row["enabled"]:
            raise LookupError(f"{label!r} is disabled in the icon's menu")
        rows = row["children"]
    call(items[-1], tray_property("Menu"), MENU, "Event", GLib.Variant("(isvu)", (row["id"], "clicked", GLib.Variant("i", 0), 0)))
    return True


def flat(rows, _with_children):
    return rows


def do_alerts(since=0):
    return alerts[since:]


def do_alerts_closed():
    return closed


def do_alert_action(number, action):
    alert_signal("ActionInvoked", number, action)
    return True


def do_alert_reply(number, text):
    alert_signal("NotificationReplied", number, text)
    return True


def do_activate(action, parameter=None):
    """An action of the application, as the desktop calls it over D-Bus."""
    args = GLib.Variant("(sava{sv})", (action, [GLib.Variant("s", parameter)] if parameter is not None else [], {}))
    call(APP, "/" + APP.replace(".", "/"), "org.gtk.Actions", "Activate", args)
    return True


def do_reply(address, text):
    """Says it, as a reply in an alert does: also what no keyboard has."""
    args = GLib.Variant("(sava{sv})", ("reply", [GLib.Variant("(ss)", (address, text))], {}))
    call(APP, "/" + APP.replace(".", "/"), "org.gtk.Actions", "Activate", args)
    return True


def do_size(window, width, height):
    """Of what a person takes for the window: its shadow comes to it."""
    number = window_id(window)
    shell = subprocess.run(["xdotool", "getwindowgeometry", "--shell", number], capture_output=True, text=True, check=True).stdout
    node = next((n for n in walk(application()) if n.get_role_name() in FRAMES and n.get_name() == window), None)
    extra = [0, 0]
    if node:
        extra = [int(re.search(rf"{key}=(\d+)", shell)[1]) - seen for key, seen in (("WIDTH", extents(node).width), ("HEIGHT", extents(node).height))]
    xdo("windowsize", "--sync", number, width + extra[0], height + extra[1])
    return True


def do_actions():
    """{name: enabled} of the application."""
    return {name: description[0] for name, description in
            call(APP, "/" + APP.replace(".", "/"), "org.gtk.Actions", "DescribeAll")[0].items()}


def do_tree():
    return tree()


def do_shot(path):
    subprocess.run(["import", "-window", "root", path], check=True, capture_output=True)
    return True


def answer(request):
    try:
        args = request.get("args", [])
        return {"ok": globals()["do_" + request["do"]](*args, **request.get("with", {}))}
    except Exception as error:  # a test wants to hear of it, and asks again
        return {"error": f"{type(error).__name__}: {error}"}


def main():
    bus.register_object("/org/freedesktop/Notifications", NOTIFICATIONS, alerts_called, None, None)
    if os.environ.get("BECKON_DESK_ALERTS") != "none":
        Gio.bus_own_name_on_connection(bus, "org.freedesktop.Notifications", 0, None, None)
    if os.environ.get("BECKON_DESK_PANEL") != "none":
        do_panel_appear()
    channel = GLib.IOChannel.unix_new(0)
    over = []
    pending = b""

    def readable(_channel, condition):
        nonlocal pending
        data = os.read(0, 65536)
        if not data:
            over.append(True)
            return False
        pending += data
        return True
    GLib.io_add_watch(channel, GLib.PRIORITY_DEFAULT, GLib.IOCondition.IN | GLib.IOCondition.HUP, readable)
    print(json.dumps({"ok": "ready"}), flush=True)
    while not over:
        context.iteration(True)
        while b"\n" in pending:
            line, _, pending = pending.partition(b"\n")
            spin(0.01)
            print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
