SELECT changed_at FROM generations WHERE generation_id = %(generation_id)s
