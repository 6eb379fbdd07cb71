-- Built on by a run that opens the same model otherwise: as that run does is how it will be opened.
UPDATE generations SET opening = %(opening)s WHERE generation_id = %(generation_id)s
