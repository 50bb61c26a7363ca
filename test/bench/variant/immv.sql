-- pg_ivm keeping the same counts.
SELECT pgivm.create_immv('immv.count',
	'SELECT account_id, marketing_status, marketing_until_next_update, count(*) AS contacts
	 FROM immv.contact GROUP BY account_id, marketing_status, marketing_until_next_update');
