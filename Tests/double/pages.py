"""The two plain pages a person sees at the double: the question, and the failure."""

from html import escape

STYLE = "body{font:1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem;overflow-wrap:anywhere}" \
        "button{font:inherit;padding:.4rem 1rem;margin:.5rem .5rem .5rem 0}.note{border-left:.3rem solid;padding:0 1rem}"


def page(title: str, content: str) -> str:
    return (f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
            f"<title>{escape(title)}</title><style>{STYLE}</style><main>{content}</main></html>")


def failure(title: str, sentence: str) -> str:
    return page(title, f"<h1>{escape(title)}</h1><p>{escape(sentence)}</p>")


def consent(family, ask, ticket: str) -> str:
    boxes = "".join(f"<li><label><input type=checkbox name=scope value='{escape(s)}' checked> {escape(s)}</label>"
                    for s in ask.scopes)
    people = ["octo"] if family.demo else ["octo", "mallory"]
    buttons = "".join(f"<button name=account value={login}>Allow as {login}</button>" for login in people)
    note = ("<p class=note>This is a demo on your own machine. It stands in for a real provider: there is no account "
            "behind it, no password is asked, and nothing leaves this computer.</p>") if family.demo else ""
    return page(family.title, f"""<h1>{escape(family.title)}</h1>{note}
<p><strong>{escape(ask.client_id)}</strong> asks for access to your account:</p>
<form method=post action='/{family.name}/decide'><input type=hidden name=ticket value='{ticket}'>
<ul>{boxes or "<li>no particular scope"}</ul>
{buttons}<button name=deny value=1>Deny</button></form>
<p>You will go back to {escape(ask.redirect_uri.split('?')[0])}.</p>""")
