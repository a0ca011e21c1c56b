-- How many rows is every answer built from?
SELECT count(*) FROM spans WHERE flags & 2048 = 0
