"""The report's sections, one file each: PLACE, its number in the order; TEMPLATE, in Jinja's words; and what fills it.

`of_all(params, reports)` fills a section that stands once, `of_platform(evaluated)` one that each platform has. What
they return are the template's variables; None leaves the section out.
"""
