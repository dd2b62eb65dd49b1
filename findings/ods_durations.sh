#!/bin/sh
# pandas 3.1.1 with odfpy 1.4.1 and with python-calamine 0.9.1: durations and tabs in an OpenDocument spreadsheet.
#
# Seen on 2026-11-29: a sheet with one duration of 30 hours cannot be read with the engine `odf` at all
# (DateParseError: hour must be in 0..23). With `calamine`, 2:30 is a time of day and 30:00 the text PT30H00M00S,
# in the same column. A tab within a text is lost there, so two words become one; three blanks stay.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pandas==3.1.1 odfpy==1.4.1 python-calamine==0.9.1
cd "$folder"
venv/bin/python - <<'END'
import datetime

import pandas
from odf.opendocument import OpenDocumentSpreadsheet
from odf.table import Table, TableCell, TableRow
from odf.text import P, S, Tab


def text(*parts):
    cell, paragraph = TableCell(valuetype="string"), P()
    for part in parts:
        paragraph.addText(part) if isinstance(part, str) else paragraph.addElement(part)
    cell.addElement(paragraph)
    return cell


def duration(value, shown):
    cell = TableCell(valuetype="time", timevalue=value)
    cell.addElement(P(text=shown))
    return cell


document, table = OpenDocumentSpreadsheet(), Table(name="times")
document.spreadsheet.addElement(table)
for cells in (
    (text("task"), text("spent")),
    (text("build", Tab(), "test"), duration("PT02H30M00S", "02:30:00")),
    (text("write", S(c=3), "read"), duration("PT30H00M00S", "30:00:00")),
):
    row = TableRow()
    table.addElement(row)
    for cell in cells:
        row.addElement(cell)
document.save("times.ods")

try:
    pandas.read_excel("times.ods", engine="odf")
except ValueError as error:
    print(f"odf: {type(error).__name__}: {error}")
    assert "hour must be in 0..23" in str(error), error
else:
    raise AssertionError("the engine odf reads 30 hours now")

found = pandas.read_excel("times.ods", engine="calamine")
print("calamine:", found.to_dict("records"))
assert found["spent"].tolist() == [datetime.time(2, 30), "PT30H00M00S"], found["spent"].tolist()
assert found["task"].tolist() == ["buildtest", "write   read"], found["task"].tolist()
END
