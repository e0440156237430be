# SPDX-License-Identifier: MIT
"""Manual pages in scdoc, read for what they promise: sections, tables, options."""

import glob
import os
import re

SOURCE = os.environ["SHMBUS_SOURCE"]


def pages():
    """The sources of all pages by the page's name: shmbus-agent.1, ..."""
    found = glob.glob(f"{SOURCE}/*/man/*.scd")
    return {os.path.basename(path)[:-len(".scd")]: path for path in found}


def text(page):
    with open(pages()[page], encoding="utf-8") as file:
        return file.read()


def plain(cell):
    """A cell or a line without its marks: *bold*, _underlined_, \\escaped."""
    cell = re.sub(r"(?<![\\\w])_([^_]+)_(?!\w)", r"\1", cell)
    cell = re.sub(r"(?<!\\)\*", "", cell)
    return re.sub(r"\\(.)", r"\1", cell)


def sections(page, depth):
    """(heading, body) of each section; below `depth` headings belong to the body."""
    parts = re.split(rf"^(#{{1,{depth}}}) (.*)$", text(page), flags=re.MULTILINE)
    return [(parts[i + 1], parts[i + 2]) for i in range(1, len(parts), 3)]


def tables(body):
    """The tables of a text: for each a list of rows, for each row a list of cells."""
    found, table = [], None
    for line in body.splitlines():
        if table is None:
            if re.match(r"[\[|\]][\[\-\]<=>] ", line):
                table = [[line[3:]]]
        elif not line:
            found.append(table)
            table = None
        elif line[0] == "|":
            table.append([line[3:]])
        elif line[0] == ":":
            table[-1].append(line[3:])
        else:
            table[-1][-1] += " " + line.strip()
    if table is not None:
        found.append(table)
    return [[[plain(cell) for cell in row] for row in table] for table in found]


def options(body):
    """The options that a text has in bold type."""
    return set(re.findall(r"\*(--?[A-Za-z][\w-]*)\*", body))
