"""What a model, a command or a file may say to get out of an output.

`CANARY` stands for an address that counts who comes. Every sample tries to reach it, to set `__canary` in the
page, to open a dialog, or to run a command of JupyterLab's.
"""

from __future__ import annotations

COMMAND = "help:about"
"""The command of JupyterLab's that samples try to run: it opens a dialog."""

_LINKED = f'data-commandlinker-command="{COMMAND}" data-commandlinker-args="{{}}"'

MARKUP = [
    "<script>top.__canary = 1; fetch('CANARY/script')</script>",
    '<img src=x onerror="top.__canary = 1">',
    "<img src=CANARY/img.png>",
    '<svg onload="top.__canary = 1"><animate onbegin="top.__canary = 1" attributeName=x dur=1s></svg>',
    "<svg><use href=\"data:image/svg+xml,<svg id='x' xmlns='http://www.w3.org/2000/svg'><script>top.__canary=1</script></svg>#x\"/></svg>",
    '<iframe src=CANARY/frame></iframe><iframe srcdoc="<script>top.__canary=1</script>"></iframe>',
    "<object data=CANARY/object></object><embed src=CANARY/embed><link rel=stylesheet href=CANARY/style.css>",
    "<link rel=preconnect href=CANARY><link rel=prefetch href=CANARY/prefetch><base href=CANARY/>",
    '<meta http-equiv=refresh content="0; url=CANARY/refresh">',
    "<style>@import url(CANARY/import); * { background: url(CANARY/background) }</style>",
    '<div style="position: fixed; inset: 0; z-index: 99999; background: url(CANARY/fixed)">over everything</div>',
    '<form action=CANARY/form><input name=a value=b autofocus onfocus="top.__canary=1"><button>send</button></form>',
    f"<button {_LINKED}>a button of JupyterLab's</button><a {_LINKED} href=#>a link</a><div {_LINKED}>a block</div>",
    '<a href="javascript:top.__canary=1">script</a><a href=CANARY/ping ping=CANARY/pinged>ping</a>',
    '<details open ontoggle="top.__canary=1"><summary>open</summary>',
    "</details></details></pre></div></div></summary></td></table><script>top.__canary=1</script>",
    "</pre></code></textarea></title></style></script><img src=x onerror=top.__canary=1>",
    '<video poster=CANARY/poster autoplay><source src=CANARY/video onerror="top.__canary=1"></video>',
    '<math><maction actiontype=statusline xlink:href="javascript:top.__canary=1">x</maction></math>',
    "<body onload=top.__canary=1 background=CANARY/body><table background=CANARY/table><td>x</td></table>",
    '<template><script>top.__canary=1</script></template><noscript><p title="</noscript><img src=x onerror=top.__canary=1>">',
    '<svg></p><style><a id="</style><img src=1 onerror=top.__canary=1>">',
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=top.__canary=1>",
    "<!--><img src=x onerror=top.__canary=1>--><![CDATA[<img src=x onerror=top.__canary=1>]]>",
    "<a id=jupyterapp name=jupyterapp href=#>clobber</a><img name=body id=cookie>",
    "&lt;img src=x onerror=top.__canary=1&gt; &#60;script&#62;top.__canary=1&#60;/script&#62;",
    '"><script>top.__canary=1</script> \' onmouseover=\'top.__canary=1\' " onmouseover="top.__canary=1" x="',
]

MARKDOWN = [
    "[script](javascript:top.__canary=1) [script](JaVaScRiPt:top.__canary=1) [script](java\tscript:top.__canary=1)",
    "[script](&#106;avascript:top.__canary=1) [script](\\x6aavascript:top.__canary=1) [d](data:text/html,<script>top.__canary=1</script>)",
    "[v](vbscript:msgbox(1)) [f](file:///etc/passwd) [b](blob:CANARY/x) <javascript:top.__canary=1>",
    "![picture](CANARY/markdown.png) ![ref][r] \\![p](CANARY/escaped.png)\n\n[r]: CANARY/reference.png",
    "[![nested](CANARY/nested.png)](javascript:top.__canary=1)",
    '[title](https://example.invalid "x\\" onmouseover=top.__canary=1 y=\\"")',
    '[quote](https://example.invalid/"onmouseover="top.__canary=1)',
    '```mermaid\nflowchart TD\n  A["<img src=x onerror=top.__canary=1>"]\n  click A href "javascript:top.__canary=1"\n```',
    '```x" onmouseover="top.__canary=1\n</code></pre><script>top.__canary=1</script>\n```',
    "````\n```\n<script>top.__canary=1</script>\n````\n<script>top.__canary=1</script>",
    "| a | b |\n|---|---|\n| <img src=x onerror=top.__canary=1> | [s](javascript:top.__canary=1) |",
    "> <script>top.__canary=1</script>\n> ```\n<script>top.__canary=1</script>",
    "<details>\n\n</details></details></details>\n\n# <script>top.__canary=1</script>",
    "term <!-- --> [//]: # (<script>top.__canary=1</script>)",
    'https://example.invalid/<script>top.__canary=1</script> www.example.invalid"onclick="top.__canary=1',
]

LATEX = [
    "$\\href{javascript:top.__canary=1}{click}$ and $$\\href{javascript:top.__canary=1}{\\text{click}}$$",
    "\\\\(\\href{javascript:top.__canary=1}{click}\\\\) \\\\[\\href{data:text/html,<script>top.__canary=1</script>}{click}\\\\]",
    "$\\style{position: fixed; top: 0; left: 0; width: 100%; height: 100%; z-index: 99999; background: red}{x}$",
    "$\\class{jp-Dialog}{x}$ $\\cssId{jupyterapp}{x}$ $\\unicode{x3c}$ $\\require{unsafe}$ $\\text{<img src=x onerror=top.__canary=1>}$",
    "\\begin{equation}\\href{javascript:top.__canary=1}{click}\\end{equation}",
    "$\\def\\x{\\x\\x}\\x$ $\\rule{99999em}{99999em}$ $\\kern{-9999em}x$",
]

SEQUENCES = [
    "\x1b]8;;javascript:top.__canary=1\x1b\\link\x1b]8;;\x1b\\ \x1b]8;;CANARY/osc8\x07link\x1b]8;;\x07",
    "\x1b]0;a title\x07\x1b]2;<script>top.__canary=1</script>\x07\x1b]52;c;Y2FuYXJ5\x07",
    '\x1b[31m<script>top.__canary=1</script>\x1b[0m\x1b[38;2;"><script>top.__canary=1</script>m',
    '\x1b[31;"onmouseover="top.__canary=1"m red \x1b[<script>m',
    "\x1bPq#0;2;0;0;0#0~~@@\x1b\\ \x1b_G<script>top.__canary=1</script>\x1b\\ \x1b[2J\x1b[H\x1b[8mhidden\x1b[0m",
    "\x1b]1337;File=inline=1:PHNjcmlwdD4=\x07 \x9b31m \x90 \x00 \x07 \x08\x08\x08 \x7f",
    "safe\u202eexe.\u2066txt\u2069 \u200b\u2060\ufeff \U000e0041\U000e0042 \u061c",
    "Z" + "\u0300\u0301\u0302\u0303" * 200 + "algo",
    "\ufdfd" * 400 + "\U0001f468\u200d\U0001f469\u200d\U0001f467" * 40,
    "\ud800 lone \udfff",
    "\r\r\r<script>top.__canary=1</script>\r over \b\b\b",
]

PAGES = [
    "<script src=CANARY/script.js></script><script type=module>import 'CANARY/module'</script>",
    "<img srcset='CANARY/1x 1x, CANARY/2x 2x'><picture><source srcset=CANARY/source><img></picture><input type=image src=CANARY/input>",
    "<svg><image href=CANARY/image /><use href='CANARY/use#x' /><filter><feImage href=CANARY/fe /></filter><script href=CANARY/svg.js /></svg>",
    "<A\nHREF=CANARY/upper>a link</A><iFrAmE src=CANARY/mixed></iFrAmE><frameset><frame src=CANARY/frame></frameset>",
    "<!--><iframe src=CANARY/comment></iframe>--><style></style/><a/href=CANARY/slash>a link</a>",
    "<script>top.__canary=1; fetch('CANARY/page'); new Image().src='CANARY/page-image'</script>",
    "<img src=CANARY/page-img><link rel=stylesheet href=CANARY/page.css><LINK REL=preconnect HREF=CANARY>",
    "<link rel=dns-prefetch href=CANARY><link rel=prefetch href=CANARY/p><link rel=modulepreload href=CANARY/m>",
    "<meta http-equiv=refresh content='0; url=CANARY/page-refresh'>",
    '<meta http-equiv=Content-Security-Policy content="default-src *"><img src=CANARY/policy>',
    "<a href=CANARY/page-link>a link</a>",
    "<a target=_top href=CANARY/top>a link to the top</a>",
    "<a target=_parent href=CANARY/parent>a link to the parent</a>",
    "<a target=_blank href=CANARY/blank>a new tab</a>",
    '<a href="javascript:top.__canary=1">script</a>',
    "<form action=CANARY/page-form target=_top><button name=a value=b autofocus>send</button></form>",
    "<form action=CANARY/page-form><input type=submit></form>",
    "<div style='position: fixed; inset: 0; background: red; z-index: 99999'>over everything</div>",
    "<iframe src=CANARY/inner></iframe><object data=CANARY/inner-object></object><embed src=CANARY/inner-embed>",
    "<style>@import url(CANARY/page-import); body { background: url(CANARY/page-background) } "
    "@font-face { font-family: x; src: url(CANARY/font) } body { font-family: x }</style>x",
    '"></iframe><script>top.__canary=1</script><img src=x onerror=top.__canary=1>',
    "&quot;&gt;&lt;/iframe&gt;&lt;script&gt;top.__canary=1&lt;/script&gt;",
    "&amp;quot;&amp;gt;&amp;lt;script&amp;gt;top.__canary=1&amp;lt;/script&amp;gt;",
    "<base target=_top href=CANARY/><a href=x>a relative link</a>",
    "<svg><a href=CANARY/svg><text y=20>svg link</text></a></svg>",
    "<video src=CANARY/page-video autoplay></video><audio src=CANARY/audio autoplay></audio><track src=CANARY/track>",
    "<plaintext></iframe><script>top.__canary=1</script>",
    "<a href=CANARY/page-ping ping=CANARY/page-pinged>ping</a>",
    '<img usemap=#m src="data:image/gif;base64,R0lGODlhAQABAAAAACw="'
    " width=50 height=50><map name=m><area href=CANARY/area coords=0,0,50,50 shape=rect></map>",
]

PICTURES = [
    "<svg xmlns='http://www.w3.org/2000/svg' width='60' height='30' onload='top.__canary=1'><script>top.__canary=1;fetch('CANARY/svg-script')</script>"
    "<image href='CANARY/svg-image'/><foreignObject width='60' height='30'><iframe xmlns='http://www.w3.org/1999/xhtml' src='CANARY/svg-frame'/>"
    "</foreignObject><a href='javascript:top.__canary=1'><rect width='60' height='30' fill='teal'/></a><style>@import url(CANARY/svg-import);</style></svg>",
]

NAMES = [
    "<img src=x onerror=top.__canary=1>.txt",
    '"onmouseover="top.__canary=1.txt',
    "[a](javascript:top.__canary=1).txt",
    "`x` <b>bold</b>.txt",
    "$\\href{javascript:top.__canary=1}{x}$.txt",
    "new\nline.txt",
    "\x1b]0;title\x07\x1b[31mred.txt",
    "safe\u202etxt.exe",
    "'; alert(1); '.txt",
    "![x](CANARY.png).txt",
]

TEXTS = [*MARKUP, *MARKDOWN, *LATEX, *SEQUENCES]
