-- What is past its time by more than a day.
{what} FROM {table} WHERE tenant_id = %(tenant_id)s AND expires_at < now() - interval '1 day'
