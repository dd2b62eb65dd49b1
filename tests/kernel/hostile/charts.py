"""What the JSON of a chart, and a page with one, may hold to get out of the frame in which it is drawn."""

from __future__ import annotations

import json
from typing import Any

from agent_kernel.kernel.render.files import pages
from agent_kernel.kernel.render.items import render_all
from tests.kernel.extension.records import code_call, output

_PLOTLY = "application/vnd.plotly.v1+json"
_VEGA = "application/vnd.vega.v5+json"
_LITE = "application/vnd.vegalite.v5+json"
_SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
_LINK = "<a href='CANARY/plotly-link' target='_top'>link</a><a href='javascript:top.__canary=1'>script</a>"
_BREAK = "</script></iframe><script>top.__canary=1;fetch('CANARY/broken')</script><!--<script>"
_CODE = "constructor.constructor('top.__canary=1')()"


def _lite(**more: Any) -> dict[str, Any]:
    values = [{"a": 1, "b": 2, "href": "CANARY/mark", "url": "CANARY/image-mark.png"}]
    encoding = {"x": {"field": "a", "type": "quantitative"}, "y": {"field": "b", "type": "quantitative"}}
    return {"$schema": _SCHEMA, "data": {"values": values}, "mark": "point", "encoding": encoding, **more}


_LINKED = {
    **_lite()["encoding"],
    "href": {"field": "href"},
    "url": {"field": "url"},
    "tooltip": {"value": _BREAK},
}

CHARTS: list[tuple[str, dict[str, Any]]] = [
    (
        _PLOTLY,
        {
            "data": [{"type": "scatter", "x": [1, 2], "y": [1, 2], "text": [_LINK, _BREAK], "mode": "text"}],
            "layout": {
                "title": {"text": _LINK},
                "images": [{"source": "CANARY/plotly.png", "x": 0, "y": 1, "sizex": 1, "sizey": 1}],
                "annotations": [{"text": _LINK + _BREAK, "x": 1, "y": 1}],
            },
            "config": {"plotlyServerURL": "CANARY/plotly-server", "showSendToCloud": True},
        },
    ),
    (_PLOTLY, {"data": [{"type": "choropleth", "geojson": "CANARY/geo", "locations": ["a"], "z": [1]}]}),
    (_PLOTLY, {"data": "not a list", "layout": [_BREAK]}),
    (_LITE, _lite(mark={"type": "image", "width": 9, "height": 9}, encoding=_LINKED)),
    (_LITE, _lite(data={"url": "CANARY/data.csv"})),
    (
        _LITE,
        _lite(
            title=_BREAK,
            params=[{"name": "p", "expr": _CODE}],
            transform=[{"calculate": f"this.{_CODE}", "as": "b"}],
            usermeta={"embedOptions": {"loader": {"target": "_top"}, "patch": "CANARY/patch.json"}},
        ),
    ),
    (
        _VEGA,
        {
            "$schema": _SCHEMA.replace("-lite", ""),
            "signals": [{"name": "s", "init": f"warn(toString.{_CODE})"}],
            "data": [{"name": "d", "url": "CANARY/vega.json"}],
        },
    ),
    (_LITE, {"__proto__": {"$schema": 1}, "constructor": {"prototype": {"x": _BREAK}}}),
]
"""Charts by their MIME type."""

_LAYOUT = json.dumps({"title": {"text": _BREAK}})
CHART_PAGES = [
    "<div id=a></div><script>top.__canary=1;fetch('CANARY/page-script')</script>"
    "<script src=CANARY/plotly.js></script>"
    f"<script>Plotly.newPlot('a', [{{\"y\": [1, 2]}}], {_LAYOUT}, {{}}); top.__canary=1</script>",
    "<script>(function(spec){ top.__canary=1; fetch('CANARY/altair') })("
    f'{json.dumps(_lite(title=_LINK))}, {{"mode": "vega-lite"}});</script>',
]
"""Pages with a chart, whose own scripts must not run."""


def chart_outputs(address: str) -> list[dict[str, Any]]:
    """Return the outputs of code that displays these charts and of a turn that writes these pages."""

    def there(value: Any) -> Any:
        return json.loads(json.dumps(value).replace("CANARY", address))

    forms = [{"text/plain": "chart", kind: there(chart)} for kind, chart in CHARTS]
    shown = [*render_all(code_call("draw()", *forms))]
    shown += [pages.frame("chart.html", there(page), len(page)) for page in CHART_PAGES]
    return [output(bundle) for bundle in shown]
