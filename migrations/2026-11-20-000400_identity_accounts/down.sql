DROP TABLE sign_in_failures;
DROP TABLE refresh_tokens;
DROP TABLE sessions;
DROP TABLE activations;
DROP TABLE account_roles;
DROP TABLE accounts;
