-- Whether writers are to wait: the index is about to move to another generation.
SELECT EXISTS (SELECT FROM generations WHERE paused_until > clock_timestamp()) AS paused
