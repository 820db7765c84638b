"""The paper: `paper/main.typ` with the tables and figures of a results folder, compiled by typst."""
