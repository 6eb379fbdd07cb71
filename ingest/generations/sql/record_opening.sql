-- How the live model is opened, before another one is configured.
UPDATE generations SET opening = %(opening)s WHERE state = 'live' AND opening = '{}'
